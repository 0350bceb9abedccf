"""What the loop counts: time by phase, dead letters by topic, all of it from nought."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.log.topics import SUPPORTERS
from shared.loop.loop import REBALANCES, RETRY_REASONS, Loop
from shared.loop.relay import Relay
from shared.loop.work import StatefulWork, StatelessWork, Work
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import LoopSettings
from shared.store.port import Unit
from tests.integration.loop.copying_service import Stateful, Stateless, open_log, open_store
from tests.integration.loop.test_loop import change, feed

RECORDS = 8


class Counted:
    """The copying service in this process."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.metrics, clock, fail_points = Metrics("copy"), SystemClock(), FailPoints("")
        self._log, self._store = open_log(folder), open_store(folder)
        member = self._log.join("copy", [SUPPORTERS], lease_seconds=5)
        if kind == "stateless":
            work: Work = StatelessWork(
                "copy", member, Stateless(folder), clock, fail_points, self.metrics
            )
        else:
            relay = Relay("copy", (SUPPORTERS,), member, self._store, fail_points, self.metrics)
            stateful: StatefulWork[Unit] = StatefulWork(
                "copy", (SUPPORTERS,), member, self._store, Stateful(folder), relay, clock,
                fail_points, self.metrics,
            )  # fmt: skip
            work = stateful
        self.loop = Loop(
            "copy", [SUPPORTERS], member, work, LoopSettings(poll_seconds=0.02), clock, self.metrics
        )

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"doorstep_{name}", {"service": "copy", **labels}
        )

    def turn(self, handled: int) -> None:
        while (self.figure("loop_records_total", topic=SUPPORTERS) or 0) < handled:
            self.loop.turn()

    def close(self) -> None:
        self._store.close()
        self._log.close()


@pytest.fixture(params=["stateless", "stateful"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def counted(tmp_path: Path, kind: str) -> Iterator[Counted]:
    with closing(Counted(tmp_path, kind)) as made:
        yield made


def test_everything_that_is_watched_begins_at_nought(counted: Counted) -> None:
    for name in ("loop_records_total", "dead_letters_total"):
        assert counted.figure(name, topic=SUPPORTERS) == 0
    for reason in RETRY_REASONS:
        assert counted.figure("loop_retries_total", reason=reason) == 0
    for change_of in REBALANCES:
        assert counted.figure("rebalances_total", kind=change_of) == 0


def test_dead_letters_are_counted_by_the_topic_of_what_was_refused(
    counted: Counted, tmp_path: Path
) -> None:
    feed(tmp_path, [change(0), change(1, "poison"), change(2, "poison")])
    counted.turn(3)
    assert counted.figure("dead_letters_total", topic=SUPPORTERS) == 2
    assert counted.figure("dead_letters_total", topic="copy") is None


def test_time_is_counted_where_it_is_spent(counted: Counted, kind: str, tmp_path: Path) -> None:
    feed(tmp_path, [change(n) for n in range(RECORDS)])
    counted.turn(RECORDS)
    phases = {"poll", "handle", "commit", "tick"} | ({"publish"} if kind == "stateful" else set())
    for phase in phases:
        assert (counted.figure("loop_seconds_total", phase=phase) or 0) > 0, phase
