"""What an exit means, and what a program said last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.console.supervising import (
    LONGEST_PAUSE_SECONDS,
    Restart,
    StayDown,
    after_exit,
    last_words,
)


@pytest.mark.parametrize("exit_code", [64, 77, 78, 79, 80])
def test_what_a_person_must_mend_is_not_started_again(exit_code: int) -> None:
    assert isinstance(after_exit(exit_code, 1), StayDown)


@pytest.mark.parametrize("exit_code", [1, 0, -9, 75, 81])
def test_what_crashed_is_started_again(exit_code: int) -> None:
    assert isinstance(after_exit(exit_code, 1), Restart)


def test_pauses_grow_up_to_a_bound() -> None:
    pauses = [after_exit(1, quick) for quick in (1, 2, 3, 20)]
    assert [each.after_seconds for each in pauses if isinstance(each, Restart)] == [
        1.0, 2.0, 4.0, LONGEST_PAUSE_SECONDS,
    ]  # fmt: skip


def test_a_kill_is_called_by_its_name() -> None:
    assert after_exit(-9, 1) == Restart(1.0, "it was ended by SIGKILL")


def lines(path: Path, *said: object) -> None:
    path.write_text("".join(f"{s if isinstance(s, str) else json.dumps(s)}\n" for s in said))


def test_the_reason_is_taken_from_the_last_error_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "sender.log"
    lines(
        log,
        {"level": "error", "reason": "an older one"},
        {"level": "error", "action": "service.ended", "reason": "the store is locked"},
        {"level": "info", "action": "loop.stopped"},
    )
    assert last_words(log, 0) == "the store is locked"


def test_a_traceback_is_told_by_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "sender.log"
    lines(log, {"level": "error", "error": "Traceback ...\nValueError: no\n"})
    assert last_words(log, 0) == "ValueError: no"


def test_plain_text_will_do_and_what_was_said_before_the_start_does_not_count(
    tmp_path: Path,
) -> None:
    log = tmp_path / "sender.log"
    before = json.dumps({"level": "error", "reason": "yesterday"}) + "\n"
    log.write_text(before + "sender: settings: DOORSTEP_X: no such setting\n\n")
    assert last_words(log, len(before)) == "sender: settings: DOORSTEP_X: no such setting"
    assert last_words(tmp_path / "none.log", 0) == ""


def test_a_line_that_is_cut_off_is_no_last_word(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    line = json.dumps({"level": "info", "action": "service.turned", "more": "x" * 100}) + "\n"
    log.write_text(line * 500)
    assert last_words(log, 0) == ""
