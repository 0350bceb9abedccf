"""The segmenter's handler for the loop: people first, then sends, in one unit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from services.segmenter.heartbeats import Heartbeats
from services.segmenter.people.handler import People
from services.segmenter.sends.programme import ProgrammeView
from services.segmenter.sends.sends import Sends
from shared.clock import Clock, to_ms
from shared.errors import NeverRetry
from shared.log.record import Stored
from shared.loop.delivery import Delivery, dead_letter
from shared.observability.metrics import Metrics
from shared.store.port import Store, Unit

LONGEST_SEEDING_SECONDS = 1.0
SETTLE_MS = 100


class Segmenter:
    """What the segmenter does with a batch, and what time alone makes due."""

    def __init__(
        self,
        store: Store[Unit],
        people: People,
        sends: Sends,
        programme: ProgrammeView,
        clock: Clock,
        sweep_seconds: float,
        metrics: Metrics,
        unreadable: Sequence[list[tuple[Stored, NeverRetry]]] = (),
        *,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        """`unreadable`: where the tables leave records that they could not read.

        `held`: nothing is frozen, released or moved by time now.
        """
        self._held, self._metrics = held, metrics
        self._unreadable = unreadable
        self._store, self._people, self._sends = store, people, sends
        self._heartbeats = Heartbeats(store)
        self._programme, self._clock = programme, clock
        self._sweep_ms = int(sweep_seconds * 1000)
        self._segments_seen = -1
        self._next_sweep_ms = self._next_settle_ms = 0
        self._taken: set[int] = set()
        self._current: set[int] = set()

    def handle(self, unit: Unit, deliveries: Sequence[Delivery]) -> None:
        self._people.handle(unit, deliveries)
        self._sends.handle(unit, deliveries, self._clock.now())

    def tick(self, now: datetime) -> None:
        if not self._store.owned() or self._held():
            return
        self._use_segments(now)
        self._seed(now)
        self._settle(now)
        self._sweep(now)
        self._sends.tick(now)
        self._bury(now)
        self._heartbeats.beat(now)

    def assigned(self, partitions: frozenset[int]) -> None:
        """A partition's people may have changed under another owner: look at all anew."""
        self._people.take(self._store.connection, partitions)
        self._taken |= partitions
        self._sends.forget()

    def programme_read(self) -> None:
        """The programme has been read to its end.

        So what the former owner of a partition had read of it by the time we took the partition, we
        have read too. Before that we might seed its people by a version that is older than theirs.
        """
        self._current |= self._taken
        self._taken.clear()

    def released(self, partitions: frozenset[int]) -> None:
        """Nothing is in flight between units."""
        self._people.lose(partitions)
        self._taken -= partitions
        self._current -= partitions
        self._sends.forget()

    def stop(self) -> None:
        """Nothing is in flight between units."""

    def _use_segments(self, now: datetime) -> None:
        if self._segments_seen == self._programme.segment_changes:
            return
        self._people.use_segments(self._programme.segments(), now)
        self._segments_seen = self._programme.segment_changes

    def _seed(self, now: datetime) -> None:
        """One segment after the other, but not so long that the loop would lose its partitions."""
        until = time.monotonic() + LONGEST_SEEDING_SECONDS
        while self._people.seed_next(self._store, self._current, now):
            if time.monotonic() > until:
                return

    def _bury(self, now: datetime) -> None:
        """Dead letters for what the tables could not read, by the owner of its partition number.

        A record that stays on its topic is told again at each start, under the same id.
        """
        owned = self._store.owned()
        for records in self._unreadable:
            if not records:
                continue
            with self._store.unit() as unit:
                for stored, error in records:
                    if stored.partition in owned:
                        letter = dead_letter(stored, error, "segmenter", now)
                        unit.emit(stored.partition, letter)
            for stored, _ in records:
                if stored.partition in owned:
                    self._metrics.dead_letters.labels(stored.topic).inc()
            records.clear()

    def _settle(self, now: datetime) -> None:
        """Whose the opens and clicks were, as far as that goes in a moment."""
        if to_ms(now) < self._next_settle_ms:
            return
        until = time.monotonic() + LONGEST_SEEDING_SECONDS
        owned = self._store.owned()
        more = self._people.waiting(self._store.connection, owned)
        while more and time.monotonic() < until:
            with self._store.unit() as unit:
                more = self._people.settle(unit, owned)
        self._next_settle_ms = to_ms(now) + SETTLE_MS

    def _sweep(self, now: datetime) -> None:
        if to_ms(now) < self._next_sweep_ms:
            return
        with self._store.unit() as unit:
            self._people.sweep(unit, now, self._store.owned())
        self._next_sweep_ms = to_ms(now) + self._sweep_ms
