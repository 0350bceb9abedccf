"""The log is opened as long as it takes; what only a person can mend is told at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from services.tracker.connecting import Connecting
from shared.errors import DoorstepError, Misconfigured, RetryLater
from shared.log.embedded.body import EmbeddedLog
from shared.log.port import Log
from shared.observability.metrics import Metrics


class Brokers:
    """They answer what they are told to, one thing after the other; then there is a log."""

    def __init__(self, folder: Path, *answers: Exception) -> None:
        self._folder, self._answers = folder, list(answers)
        self.metrics = Metrics("tracker")
        self.failures: list[DoorstepError] = []
        self.failed = threading.Event()
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()

    def open(self) -> Log:
        self.asked.set()
        assert self.may_answer.wait(10)
        if self._answers:
            raise self._answers.pop(0)
        return EmbeddedLog(self._folder / "log.db")

    def fail(self, error: DoorstepError) -> None:
        self.failures.append(error)
        self.failed.set()

    def connecting(self) -> Connecting:
        made = Connecting(self.open, self.metrics, self.fail)
        made.start()
        return made

    def unopened(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "doorstep_log_unopened_total", {"service": "tracker"}
        )


def test_brokers_that_are_away_are_asked_again_and_counted(tmp_path: Path) -> None:
    brokers = Brokers(tmp_path, RetryLater("away"), RetryLater("away"))
    connecting = brokers.connecting()
    log = connecting.log(within_seconds=10)
    assert log is not None
    assert log.end_offsets("programme") == {0: 0}
    assert connecting.log(within_seconds=0) is log
    assert brokers.unopened() == 2
    assert not brokers.failures
    connecting.close()


def test_who_waits_for_a_log_that_does_not_come_gets_none(tmp_path: Path) -> None:
    brokers = Brokers(tmp_path)
    brokers.may_answer.clear()
    connecting = brokers.connecting()
    assert connecting.log(within_seconds=0.01) is None
    connecting.close()
    assert connecting.log(within_seconds=10) is None, "at once"
    brokers.may_answer.set()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Misconfigured("topic events has 3 partitions"), "3 partitions"),
        (ValueError("what is this"), "the log cannot be opened: ValueError: what is this"),
    ],
)
def test_what_no_waiting_mends_is_told(tmp_path: Path, error: Exception, words: str) -> None:
    brokers = Brokers(tmp_path, RetryLater("away"), error)
    connecting = brokers.connecting()
    assert brokers.failed.wait(10)
    assert [words in str(one) for one in brokers.failures] == [True]
    connecting.close()
