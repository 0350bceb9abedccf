"""The log's positions follow the store's, also where there was nothing to publish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.log.port import Polled
from shared.log.record import Position, TopicPartition
from shared.log.topics import SUPPORTERS
from shared.loop import relay as relaying
from shared.loop.delivery import Delivery
from shared.loop.loop import Loop
from shared.loop.relay import Relay
from shared.loop.work import StatefulWork
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import LoopSettings
from shared.store.port import Unit
from shared.store.sqlite import SqliteStore
from tests.contract.log.narration import until
from tests.integration.loop.copying_service import PARTITIONS, Stateful, open_log
from tests.integration.loop.test_loop import change, feed

RECORDS = 8
EACH = RECORDS // PARTITIONS


class Silent(Stateful):
    """Takes everything and says nothing."""

    def handle(self, unit: Unit, deliveries: Sequence[Delivery]) -> None: ...


class Service:
    def __init__(self, folder: Path) -> None:
        clock, metrics, fail_points = SystemClock(), Metrics("copy"), FailPoints("")
        self.log = open_log(folder)
        self.store = SqliteStore(folder / "store.db", (), synchronous="FULL")
        member = self.log.join("copy", [SUPPORTERS], lease_seconds=5)
        relay = Relay("copy", (SUPPORTERS,), member, self.store, fail_points, metrics)
        work: StatefulWork[Unit] = StatefulWork(
            "copy",
            (SUPPORTERS,),
            member,
            self.store,
            Silent(folder),
            relay,
            clock,
            fail_points,
            metrics,
        )
        self.loop = Loop(
            "copy", [SUPPORTERS], member, work, LoopSettings(poll_seconds=0.02), clock, metrics,
            rewind=work.rewind,
        )  # fmt: skip

    def handled(self) -> int:
        places = [self.store.positions(number) for number in range(PARTITIONS)]
        return sum(position for place in places for position in place.values())

    def told(self) -> dict[TopicPartition, Position]:
        return self.log.positions("copy", [SUPPORTERS])

    def everything_told(self) -> bool:
        cursor = f"{self.store.store_id}:0"
        return self.told() == {
            TopicPartition(SUPPORTERS, number): Position(EACH, cursor)
            for number in range(PARTITIONS)
        }

    def turn_until_all_is_handled(self) -> None:
        def handled() -> bool:
            self.loop.turn()
            return self.handled() == RECORDS

        until(handled, "all to be handled")


def test_now_and_then_the_log_hears_of_what_gave_no_cause_to_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(tmp_path, [change(number) for number in range(RECORDS)])
    monkeypatch.setattr(relaying, "FOLLOW_SECONDS", 0.0)
    service = Service(tmp_path)
    service.turn_until_all_is_handled()
    service.loop.turn()
    assert service.everything_told()


def test_at_an_orderly_end_the_log_hears_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(tmp_path, [change(number) for number in range(RECORDS)])
    service = Service(tmp_path)
    service.turn_until_all_is_handled()
    assert service.told() == {}
    turn = service.loop.turn

    def last_turn() -> Polled | None:
        service.loop.stop()
        return turn()

    monkeypatch.setattr(service.loop, "turn", last_turn)
    service.loop.run()
    assert service.everything_told()
