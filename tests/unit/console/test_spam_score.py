"""What SpamAssassin says, read."""

from __future__ import annotations

from pathlib import Path

from services.console.spam_score import find_spamassassin, read_status, spam_score


def test_the_header_is_read() -> None:
    found = read_status(
        "Yes, score=7.1 required=5.0 tests=HTML_MESSAGE,MISSING_MID,\n\tNO_RELAYS,URI_HEX "
        "autolearn=no autolearn_force=no version=4.0.1"
    )
    assert found is not None
    assert (found.score, found.required, found.spam) == (7.1, 5.0, True)
    assert found.tests == ("HTML_MESSAGE", "MISSING_MID", "URI_HEX")
    quiet = read_status("No, score=-0.1 required=5.0 tests=none autolearn=no")
    assert quiet is not None
    assert (quiet.spam, quiet.tests) == (False, ())
    assert read_status("") is None


def test_a_program_that_gives_no_score_is_no_error(tmp_path: Path) -> None:
    program = tmp_path / "spamassassin"
    program.write_text("#!/bin/sh\nexec cat\n")
    program.chmod(0o755)
    assert find_spamassassin(str(tmp_path)) == str(program)
    assert find_spamassassin(str(tmp_path / "nowhere")) is None
    assert spam_score("Subject: x\r\n\r\nHello\r\n", str(program)) is None
    assert spam_score("Subject: x\r\n\r\nHello\r\n", str(tmp_path / "gone")) is None
