"""A log that is away for a while: the loop waits for it; lag that is not known stops nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from shared.clock import SystemClock
from shared.errors import RetryLater
from shared.log.port import Polled
from shared.log.topics import SUPPORTERS
from shared.loop.loop import Loop
from shared.loop.work import StatelessWork
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import LoopSettings
from tests.contract.log.narration import until
from tests.integration.loop.copying_service import open_log
from tests.integration.loop.test_loop import change

FAILURES = 2


class Away:
    """A member that fails at first, whatever it is asked."""

    def __init__(self, member: Any) -> None:
        self._member = member
        self.polls = self.lags = 0

    def poll(self, timeout_seconds: float, max_records: int) -> Polled:
        self.polls += 1
        if self.polls <= FAILURES:
            raise RetryLater("no broker answers", after_seconds=0.01)
        found: Polled = self._member.poll(timeout_seconds, max_records)
        return found

    def lag(self) -> dict[str, int]:
        self.lags += 1
        raise RetryLater("the ends of the topics are not known now")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._member, name)


class Reading:
    """A handler that remembers whom it has read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def handle(self, deliveries: Any) -> list[Any]:
        self.read += [one.envelope.subject for one in deliveries]
        return []


def test_the_loop_waits_for_a_log_that_is_away_and_goes_on_without_its_lag(tmp_path: Path) -> None:
    log, clock, metrics = open_log(tmp_path), SystemClock(), Metrics("read")
    log.append([change(number) for number in range(5)])
    member, handler = Away(log.join("read", [SUPPORTERS])), Reading()
    work = StatelessWork("read", member, handler, clock, FailPoints(""), metrics)
    settings = LoopSettings(poll_seconds=0.02, retry_seconds=30)
    loop = Loop("read", [SUPPORTERS], member, work, settings, clock, metrics)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        until(lambda: len(handler.read) == 5, "all records to be read")
        assert thread.is_alive()
    finally:
        loop.stop()
        thread.join()
        log.close()
    assert member.polls > FAILURES
    assert member.lags >= 1
