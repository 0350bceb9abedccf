"""The command line: `python -m deploy.auditor --mail DIR --ledger FILE [--frozen FILE]`, or
`--postgres DSN` for what is no file.

Exit status 0: everything balances. 1: it does not. 2: the evidence could not be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.auditor.databases import postgres, read_frozen_sets, read_ledger, sqlite
from deploy.auditor.evidence import Evidence, EvidenceError
from deploy.auditor.findings import Doubt
from deploy.auditor.sandbox_files import read_mails, read_requests
from deploy.auditor.verdict import judge
from deploy.auditor.withdrawals_file import read_withdrawals


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, judge, report; the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.ledger is None and given.postgres is None:
        parser.error("wanted: --ledger FILE or --postgres DSN")
    try:
        evidence = _read(given)
    except EvidenceError as error:
        print(f"auditor: {error}", file=sys.stderr)
        return 2
    ambiguous = given.ambiguous
    if ambiguous is None:
        ambiguous = sum(one.ambiguous for one in evidence.asked)
    verdict = judge(evidence, given.policy, Doubt(given.kills, given.window, ambiguous))
    print(json.dumps(verdict.as_json(), indent=2) if given.json else verdict.as_text())
    return 0 if verdict.balanced else 1


def _read(given: argparse.Namespace) -> Evidence:
    server = None if given.postgres is None else postgres(given.postgres)
    ledger = server if given.ledger is None else sqlite(given.ledger)
    frozen = server if given.frozen is None else sqlite(given.frozen)
    assert ledger is not None
    evidence = Evidence(
        mails=read_mails(given.mail),
        asked=read_requests(given.mail),
        ledger=read_ledger(ledger),
        frozen=None if frozen is None else read_frozen_sets(frozen),
        withdrawals=() if given.withdrawals is None else read_withdrawals(given.withdrawals),
    )
    return evidence.only(given.send) if given.send else evidence


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.auditor",
        description="Says from mails, ledger and frozen sets whether everybody was mailed at most "
        "once and nobody was forgotten.",
    )
    add = parser.add_argument
    add("--mail", type=Path, required=True, metavar="DIR", help="the SES sandbox's directory")
    add("--ledger", type=Path, metavar="FILE", help="the sender's ledger.db")
    add("--frozen", type=Path, metavar="FILE", help="the segmenter's store with the frozen sets")
    add("--postgres", metavar="DSN", help="the database of both, for what is not given as a file")
    add("--withdrawals", type=Path, metavar="FILE", help="who may not be mailed any more, and when")
    add("--send", action="append", metavar="NAME", help="look at this send only (repeatable)")
    add("--policy", choices=("leave", "resend"), default="leave", help="for what is in doubt")
    add("--kills", type=int, metavar="N", help="how often the sender was killed")
    add("--window", type=int, default=16, metavar="W", help="calls in flight (16)")
    add("--ambiguous", type=int, metavar="N", help="mails SES did not take and did not refuse"
        " either (default: counted in its journal)")  # fmt: skip
    add("--json", action="store_true", help="everything, for programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
