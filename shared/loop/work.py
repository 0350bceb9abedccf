"""What a service does with what the loop brings: stateless work commits to the log, stateful work
to a store. The loop knows neither.

A handler sees decoded records and never the log. When a batch raises, its records are handled one
by one, so that a poison record goes to the dead letters and its neighbours go through.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

from shared.clock import Clock
from shared.errors import CommitUnknown, Conflict, DoorstepError, Fenced, NeverRetry, RetryLater
from shared.log.port import Member, Membership
from shared.log.record import Position, Record, Stored, TopicPartition
from shared.loop.delivery import Delivery, dead_letter
from shared.loop.relay import Relay
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.store.port import Store, Unit

LOOK_SECONDS: Final = 2.0
"""How often it is asked whether another instance took something from us."""

UnitIn_contra = TypeVar("UnitIn_contra", bound=Unit, contravariant=True)
UnitT = TypeVar("UnitT", bound=Unit)
Refused = Sequence[tuple[Stored, NeverRetry]]


class StatelessHandler(Protocol):
    """Turns records into records."""

    def handle(self, deliveries: Sequence[Delivery]) -> Sequence[Record]:
        """Raises NeverRetry for a record that can never be handled, RetryLater for not now."""
        ...


class StatefulHandler(Protocol[UnitIn_contra]):
    """Turns records into state and outbox rows, inside one store transaction."""

    def handle(self, unit: UnitIn_contra, deliveries: Sequence[Delivery]) -> None:
        """Raises NeverRetry for a record that can never be handled, RetryLater for not now."""
        ...

    def tick(self, now: datetime) -> None:
        """What time alone makes due; called every turn. Opens its own units of the store."""
        ...

    def assigned(self, partitions: frozenset[int]) -> None:
        """These numbers are owned from now on; the store has taken them."""
        ...

    def released(self, partitions: frozenset[int]) -> None:
        """These numbers are being given up or are lost: stop what runs for them."""
        ...

    def stop(self) -> None:
        """The service ends: finish what is in flight."""
        ...


class Work(Protocol):
    """What the loop drives."""

    def assigned(self, partitions: frozenset[int]) -> None: ...

    def released(self, partitions: frozenset[int], membership: Membership | None) -> None:
        """Given up (with the membership that may still publish) or lost already (None)."""
        ...

    def apply(
        self,
        membership: Membership,
        deliveries: Sequence[Delivery],
        refused: Refused,
        through: dict[TopicPartition, int],
    ) -> Counter[str]:
        """Handle and commit. `through`: place to the next offset after this batch.

        Returns topic to the number of dead letters. Raises RetryLater, Fenced, BudgetPassed.
        """
        ...

    def turn(self, membership: Membership) -> None:
        """What there is to do besides records; called every turn."""
        ...

    def stop(self, membership: Membership | None) -> None: ...


def is_ours(error: Exception) -> bool:
    """Errors that mean the whole batch, never one record: ours, and trouble of the machine.

    What a unique index refuses is the record's, on every body of a store.
    """
    if isinstance(error, (MemoryError, OSError)):
        return True
    return isinstance(error, DoorstepError) and not isinstance(error, (NeverRetry, Conflict))


def _by_topic(dead: Sequence[tuple[Stored, Exception]]) -> Counter[str]:
    return Counter(stored.topic for stored, _ in dead)


class StatelessWork:
    """Outputs, dead letters and positions in one log transaction."""

    def __init__(
        self,
        group: str,
        member: Member,
        handler: StatelessHandler,
        clock: Clock,
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self._group, self._member, self._handler = group, member, handler
        self._clock, self._fail_points, self._metrics = clock, fail_points, metrics

    def assigned(self, partitions: frozenset[int]) -> None:
        """Nothing to do: positions live in the log."""

    def released(self, _partitions: frozenset[int], _membership: Membership | None) -> None:
        """Nothing to do: nothing is in flight between polls."""

    def apply(
        self,
        membership: Membership,
        deliveries: Sequence[Delivery],
        refused: Refused,
        through: dict[TopicPartition, int],
    ) -> Counter[str]:
        now = self._clock.now()
        dead: list[tuple[Stored, Exception]] = list(refused)
        outputs = self._outputs(deliveries, dead)
        letters = [dead_letter(stored, error, self._group, now) for stored, error in dead]
        self._metrics.phases.enter("commit")
        self._fail_points.reach("stateless.before_commit")
        try:
            self._member.commit(
                membership,
                [*outputs, *letters],
                {place: Position(next_offset) for place, next_offset in through.items()},
            )
        except RetryLater as error:
            raise CommitUnknown(str(error), error.after_seconds) from error
        self._fail_points.reach("stateless.after_commit")
        return _by_topic(dead)

    def turn(self, membership: Membership) -> None:
        """Nothing besides records."""

    def stop(self, membership: Membership | None) -> None:
        """Nothing in flight."""

    def _outputs(
        self, deliveries: Sequence[Delivery], dead: list[tuple[Stored, Exception]]
    ) -> list[Record]:
        try:
            return list(self._handler.handle(deliveries)) if deliveries else []
        except Exception as error:
            if is_ours(error):
                raise
        outputs: list[Record] = []
        for delivery in deliveries:
            try:
                outputs.extend(self._handler.handle([delivery]))
            except Exception as error:
                if is_ours(error):
                    raise
                dead.append((delivery.stored, error))
        return outputs


class StatefulWork(Generic[UnitT]):
    """State, positions and outbox in one store transaction; the relay publishes afterwards."""

    def __init__(
        self,
        group: str,
        topics: Sequence[str],
        member: Member,
        store: Store[UnitT],
        handler: StatefulHandler[UnitT],
        relay: Relay,
        clock: Clock,
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self._group, self._topics = group, tuple(topics)
        self._phases = metrics.phases
        self._member, self._store = member, store
        self._handler, self._relay = handler, relay
        self._clock, self._fail_points = clock, fail_points
        self._positions: dict[TopicPartition, int] = {}
        self._next_look = 0.0
        self._journal = Journal("work")

    def assigned(self, partitions: frozenset[int]) -> None:
        """Take the numbers in the store, take up the relay, read on from the store's positions."""
        for partition in sorted(partitions):
            self._store.take(partition)
            self._relay.take_up(partition)
            self._begin_unread(partition)
            self._go_to_stored(partition)
        self._handler.assigned(partitions)

    def released(self, partitions: frozenset[int], membership: Membership | None) -> None:
        """Let the handler finish, publish what is left (unless lost), then let go."""
        self._handler.released(partitions)
        if membership is not None:
            with suppress(Fenced, RetryLater):  # lost, or out of reach: the next owner publishes
                self._relay.publish(membership)
        for partition in sorted(partitions):
            self._relay.let_go(partition)
            self._store.drop(partition)
            self._forget(partition)

    def apply(
        self,
        membership: Membership,  # noqa: ARG002 - the store commits; stateless work needs it
        deliveries: Sequence[Delivery],
        refused: Refused,
        through: dict[TopicPartition, int],
    ) -> Counter[str]:
        now = self._clock.now()
        dead: list[tuple[Stored, Exception]] = list(refused)
        with self._store.unit() as unit:
            unit.check(*(place.partition for place in through))
            self._handle(unit, deliveries, dead)
            for stored, error in dead:
                unit.emit(stored.partition, dead_letter(stored, error, self._group, now))
            for place, next_offset in through.items():
                unit.advance(place, self._positions[place], next_offset)
            self._relay.trim(unit, {place.partition for place in through})
            self._phases.enter("commit")
            self._fail_points.reach("stateful.before_commit")
        self._fail_points.reach("stateful.after_commit")
        self._positions.update(through)
        return _by_topic(dead)

    def turn(self, membership: Membership) -> None:
        self._take_back(membership)
        self._handler.tick(self._clock.now())
        self._phases.enter("publish")
        self._relay.publish(membership)
        self._relay.follow(membership)

    def stop(self, membership: Membership | None) -> None:
        self._handler.stop()
        if membership is not None:
            self._relay.publish(membership)
            with suppress(Fenced, RetryLater):  # an account for people; the store has the truth
                self._relay.follow(membership, at_once=True)
                self._forget_published()

    def _forget_published(self) -> None:
        """So that a log that forgets us while we are stopped does not look like a new one."""
        owned = self._store.owned()
        with self._store.unit() as unit:
            unit.check(*owned)
            self._relay.trim(unit, owned)

    def _take_back(self, membership: Membership) -> None:
        """Take again what the group gave to us and another instance took from us in the store.

        One that stood still between its assignment and its `take` does so after the group has moved
        on. It may write nothing to the log, but we could write nothing to the store for ever. Our
        own place in the group is proven first, so that two never take from each other in turns.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        taken = self._store.overtaken() & self._member.owned()
        if not taken:
            return
        places = [TopicPartition(self._topics[0], number) for number in sorted(taken)]
        saved = self._member.committed(places)
        unread = {place: Position(0) for place in places if place not in saved}
        self._member.commit(membership, [], unread | saved)
        self._journal.warning("work.taking_back", group=self._group, partitions=sorted(taken))
        self.released(taken, None)
        self.assigned(taken)

    def rewind(self, partition: int) -> None:
        """After a failed unit: read on from what the store says."""
        self._go_to_stored(partition)

    def _handle(
        self, unit: UnitT, deliveries: Sequence[Delivery], dead: list[tuple[Stored, Exception]]
    ) -> None:
        if not deliveries:
            return
        try:
            with unit.part():
                self._handler.handle(unit, deliveries)
            return
        except Exception as error:
            if is_ours(error):
                raise
        for delivery in deliveries:
            try:
                self._handle_one(unit, delivery)
            except Exception as error:
                if is_ours(error):
                    raise
                dead.append((delivery.stored, error))

    def _handle_one(self, unit: UnitT, delivery: Delivery) -> None:
        """Twice where a unique index refuses it: the row of an instance that was first was
        committed before we were refused, so the second try sees it.
        """
        try:
            with unit.part():
                self._handler.handle(unit, [delivery])
        except Conflict:
            with unit.part():
                self._handler.handle(unit, [delivery])

    def _begin_unread(self, partition: int) -> None:
        """Write down where reading begins for places the store has never read."""
        stored = self._store.positions(partition)
        with self._store.unit() as unit:
            for topic in self._topics:
                place = TopicPartition(topic, partition)
                if place not in stored:
                    unit.advance(place, None, self._member.next_offset(place))

    def _go_to_stored(self, partition: int) -> None:
        stored = self._store.positions(partition)
        self._forget(partition)
        for place, next_offset in stored.items():
            self._positions[place] = next_offset
            self._member.seek(place, next_offset)

    def _forget(self, partition: int) -> None:
        self._positions = {
            place: offset for place, offset in self._positions.items()
            if place.partition != partition
        }  # fmt: skip
