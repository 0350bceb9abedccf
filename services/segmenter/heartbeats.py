"""Heartbeats of compacted topics, so that what was replaced or taken back there is really removed.

Brokers never compact the segment they write to, and begin another only when a record comes: on a
topic where nothing happens, an old suppression would stay for ever. So a record comes a few times a
day: a tombstone under a key of its own, which takes nothing from any reader and is removed itself.
The segmenter writes both topics, and every partition number has one owner among its instances.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from shared.clock import to_ms
from shared.log.record import Record
from shared.log.topics import TOPICS
from shared.store.port import Store, Unit

EVERY_MS: Final = 6 * 3_600_000
"""Longer than a segment of a compacted topic may last (`topics plan`): each one begins another."""


class Heartbeats:
    """Due at the same times for all instances: no start and no change of owner is a cause."""

    def __init__(self, store: Store[Unit]) -> None:
        self._store = store
        self._done: dict[int, int] = {}

    def beat(self, now: datetime) -> None:
        """Put into the outbox what has become due since the last look."""
        turn = to_ms(now) // EVERY_MS
        self._done = {n: self._done.get(n, turn) for n in self._store.owned()}
        due = sorted(number for number, done in self._done.items() if done < turn)
        if not due:
            return
        with self._store.unit() as unit:
            for record in heartbeats(due, now):
                unit.emit(record.partition, record)
        self._done.update(dict.fromkeys(due, turn))


def heartbeats(numbers: Collection[int], now: datetime) -> list[Record]:
    """One for each of these partitions of each compacted topic, as far as it has them."""
    return [
        Record(spec.name, number, f"heartbeat/{number}".encode(), None, (), to_ms(now))
        for spec in TOPICS
        if spec.compacted
        for number in numbers
        if not spec.partitions or number < spec.partitions
    ]
