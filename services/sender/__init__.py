"""Out: intake, dispatch, pacing, last look, the ledger, SES. Never decides who; only whether."""
