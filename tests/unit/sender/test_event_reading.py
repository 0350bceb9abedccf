"""Up to which time the events of each owned partition have been read."""

from __future__ import annotations

from typing import Any

from services.sender.upkeep import EventReading
from shared.log.record import TopicPartition
from shared.log.topics import EVENTS


class Positions:
    """A store that knows nothing but how far was read."""

    def __init__(self) -> None:
        self.read: dict[int, int] = {}

    def positions(self, partition: int) -> dict[TopicPartition, int]:
        return {TopicPartition(EVENTS, partition): self.read.get(partition, 0)}


def test_what_was_on_the_log_at_a_time_is_read_when_the_position_has_passed_it() -> None:
    store, ends = Positions(), {0: 5, 1: 5}
    reading = EventReading(store, lambda _: dict(ends))  # type: ignore[arg-type]

    assert reading.read_through_ms([0, 1], 100) == {0: 0, 1: 0}
    store.read = {0: 5, 1: 4}
    assert reading.read_through_ms([0, 1], 200) == {0: 100, 1: 0}
    store.read = {0: 5, 1: 5}
    assert reading.read_through_ms([0, 1], 300) == {0: 100, 1: 100}
    ends[0] = 9
    assert reading.read_through_ms([0, 1], 400) == {0: 300, 1: 300}, "as it was at 300"


def test_a_number_that_comes_from_another_owner_has_everything_to_be_read() -> None:
    """Its last owner may have been stuck before the very event that lifts a doubt."""
    store = Positions()
    ends: dict[int, Any] = {0: 5, 1: 7}
    reading = EventReading(store, lambda _: dict(ends))  # type: ignore[arg-type]
    store.read = {0: 5, 1: 3}
    for now in (100, 200, 300):
        through = reading.read_through_ms([0], now)
    assert through == {0: 200}

    assert reading.read_through_ms([0, 1], 400)[1] == 0
    assert reading.read_through_ms([0, 1], 500)[1] == 0
    store.read[1] = 7
    assert reading.read_through_ms([0, 1], 600)[1] > 0

    store.read[1] = 0
    reading.read_through_ms([0], 700)
    assert reading.read_through_ms([0, 1], 800)[1] == 0, "what was known of it is forgotten"
