"""One member of a consumer group on Kafka: poll, commit, seek.

What the port promises and Kafka alone does not: ownership by number over all topics (assignor.py),
a warning before a number goes (the second round of a rebalance waits for our next poll), positions
that are never guessed, and a membership that is captured with the batch, because the broker fences
by generation and not by ownership.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaConsumer, errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

from shared.errors import DoorstepError, Fenced, PositionOutsideLog
from shared.log.kafka.assignor import assignor_for
from shared.log.kafka.client import REQUEST_MS, Names, translated
from shared.log.kafka.mends import make_finding, make_patient, opened, unpark
from shared.log.kafka.slots import Slot
from shared.log.kafka.transactions import Transactions
from shared.log.port import Membership, Polled
from shared.log.record import Position, Record, Stored, TopicPartition

POLL_INTERVAL_MS: Final = 150_000
"""Who does not poll for so long leaves the group: longer than the loop's watchdog lets a turn last,
not longer than a loop waits for a store that is away. Others take over then."""
PASSED_SECONDS: Final = 0.5
LAG_MS: Final = 2_000
JOIN_SECONDS: Final = 2.0


class KafkaMember:
    """See `shared.log.port.Member`. Used by one thread; the client's own thread heartbeats."""

    def __init__(
        self,
        names: Names,
        settings: Mapping[str, Any],
        group: str,
        topics: Sequence[str],
        partitions: int,
        lease_seconds: float,
        transactions: Transactions,
        slot: Slot,
    ) -> None:
        """`settings`: a consumer's (client.py); `lease_seconds` is the group's session timeout."""
        self._names, self._group, self._topics = names, group, tuple(topics)
        self._transactions, self._slot = transactions, slot
        self._changes = _Changes(names, len(self._topics))
        self._owned: frozenset[int] = frozenset()
        self._revoking: frozenset[int] = frozenset()
        self._paused: frozenset[int] = frozenset()
        self._reached: dict[TopicPartition, int] = {}
        self._next_passed = 0.0
        there = [names.topic(topic) for topic in topics]
        lease_ms = int(lease_seconds * 1000)
        with translated(f"{group}: opening a consumer"):
            self._consumer: Any = opened(
                KafkaConsumer,
                **settings,
                group_id=names.group(group),
                session_timeout_ms=lease_ms,
                heartbeat_interval_ms=min(1_000, max(100, lease_ms // 4)),
                max_poll_interval_ms=POLL_INTERVAL_MS,
                partition_assignment_strategy=(assignor_for(there, partitions, self._claim),),
            )
            make_finding(self._consumer)
            self._coordinator: Any = make_patient(self._consumer, lambda: self._changes.holding)
            self._consumer.subscribe(there, listener=self._changes)

    def owned(self) -> frozenset[int]:
        return self._owned

    def poll(self, timeout_seconds: float, max_records: int) -> Polled:
        """See the port. Numbers reported as revoking last time are given up first."""
        self._forget(self._revoking)
        self._revoking = frozenset()
        self._changes.holding = False
        records = self._poll(timeout_seconds, max_records)
        assigned, revoking, lost = self._changes.take()
        if assigned or revoking or lost:
            for place, batch in records.items():
                with suppress(ValueError):  # it is gone already
                    self._consumer.seek(place, batch[0].offset)
            self._forget(lost)
            self._owned |= assigned
            self._revoking = revoking & self._owned
            return Polled(
                self._membership(), {}, assigned=assigned, revoking=self._revoking, lost=lost
            )
        found = {self._names.ours(place): self._stored(batch) for place, batch in records.items()}
        for place, stored in found.items():
            self._reached[place] = stored[-1].offset + 1
        return Polled(self._membership(), found, passed=self._passed(found))

    def commit(
        self,
        membership: Membership,
        outputs: Sequence[Record],
        positions: Mapping[TopicPartition, Position],
    ) -> None:
        """See the port: one transaction, refused when the group has moved on since the poll."""
        gone = {place.partition for place in positions} - self._owned
        if gone:
            raise Fenced(f"{self._group}: numbers {sorted(gone)} belong to another member")
        self._transactions.run(
            outputs,
            {
                self._names.kafka(place): OffsetAndMetadata(
                    position.next_offset, position.metadata, -1
                )
                for place, position in positions.items()
            },
            ConsumerGroupMetadata(
                self._names.group(self._group), membership.generation, membership.member_id
            ),
        )

    def committed(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        """See the port. The brokers make us wait for positions of an open transaction."""
        self._transactions.settle()
        with translated(f"{self._group}: reading positions"):
            found = self._coordinator.fetch_committed_offsets(
                [self._names.kafka(place) for place in places], timeout_ms=REQUEST_MS
            )
        return {
            self._names.ours(place): Position(saved.offset, saved.metadata or "")
            for place, saved in found.items()
            if saved.offset >= 0
        }

    def next_offset(self, place: TopicPartition) -> int:
        there = self._names.kafka(place)
        with translated(f"{self._group}: {place.topic}[{place.partition}]"):
            try:
                offset = self._consumer.position(there, timeout_ms=REQUEST_MS)
            except errors.NoOffsetForPartitionError as error:
                self._begin(error)
                offset = self._consumer.position(there, timeout_ms=REQUEST_MS)
            if offset is None:
                raise errors.KafkaTimeoutError("the position is not known yet")
        return int(offset)

    def seek(self, place: TopicPartition, next_offset: int) -> None:
        self._consumer.seek(self._names.kafka(place), next_offset)
        self._reached[place] = next_offset

    def rewind(self, places: Sequence[TopicPartition]) -> None:
        ours = [place for place in places if place.partition in self._owned]
        saved = self.committed(ours)
        self._seek_first([self._names.kafka(place) for place in ours if place not in saved])
        for place, position in saved.items():
            self.seek(place, position.next_offset)

    def pause(self, partitions: frozenset[int]) -> None:
        self._paused |= partitions
        self._consumer.pause(*self._places(partitions & self._owned))

    def resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions
        places = self._places(partitions & self._owned)
        unpark(self._consumer, places)
        self._consumer.resume(*places)

    def lag(self) -> dict[str, int]:
        """Transaction markers count as records here: nobody but the broker can tell them apart."""
        places = self._places(self._owned)
        found = dict.fromkeys(self._topics, 0)
        if not places:
            return found
        with translated(f"{self._group}: lag"):
            ends = self._consumer.end_offsets(places, timeout_ms=LAG_MS)
        for place, end in ends.items():
            ours = self._names.ours(place)
            found[ours.topic] += max(0, end - self._reached.get(ours, self._position(place) or end))
        return found

    def close(self) -> None:
        """See the port. A join under way is seen through first: brokers answer a connection's
        requests in order, so the goodbye would wait behind it, and others for our silence.
        """
        self._changes.holding = False
        until = time.monotonic() + JOIN_SECONDS
        while self._coordinator.joining and time.monotonic() < until:
            with suppress(DoorstepError):
                self._poll(0.1, 1)
        with suppress(errors.KafkaError):  # the broker notices at the latest by our silence
            self._consumer.close(autocommit=False, timeout_ms=5_000)
        self._transactions.close()
        self._slot.free()

    def _poll(self, timeout_seconds: float, max_records: int) -> dict[KafkaPartition, list[Any]]:
        until = time.monotonic() + timeout_seconds
        while True:
            left_ms = max(0, int((until - time.monotonic()) * 1000))
            try:
                with translated(self._group):
                    try:
                        found: dict[KafkaPartition, list[Any]] = self._consumer.poll(
                            timeout_ms=left_ms, max_records=max_records
                        )
                        return found
                    except errors.NoOffsetForPartitionError as error:
                        self._begin(error)
            except Fenced:
                return {}
            except PositionOutsideLog:
                # A number that was just given to us is read from the store's position, not from
                # the saved one: our caller must hear of it first. It comes again if it is true.
                if not self._changes.waiting():
                    raise
                return {}
            if self._changes.waiting():
                return {}

    def _begin(self, error: errors.NoOffsetForPartitionError) -> None:
        """No position at all: from the first record kept, explicitly."""
        self._seek_first(list(error.args[0]))

    def _seek_first(self, places: Sequence[KafkaPartition]) -> None:
        if not places:
            return
        with translated(f"{self._group}: finding where to begin"):
            firsts = self._consumer.beginning_offsets(list(places), timeout_ms=REQUEST_MS)
        for place, first in firsts.items():
            with suppress(ValueError):  # it is not ours any more
                self._consumer.seek(place, first)
                self._reached[self._names.ours(place)] = first

    def _passed(self, found: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where reading went past markers, of places that brought no record now."""
        now = time.monotonic()
        if now < self._next_passed:
            return {}
        self._next_passed = now + PASSED_SECONDS
        passed: dict[TopicPartition, int] = {}
        for place in self._places(self._owned - self._paused):
            ours, position = self._names.ours(place), self._position(place)
            if position is None or ours in found:
                continue
            if position > self._reached.setdefault(ours, position):
                passed[ours] = self._reached[ours] = position
        return passed

    def _position(self, place: KafkaPartition) -> int | None:
        """Where reading stands, as far as it is known without asking anybody."""
        state = self._consumer._subscription.assignment.get(place)
        return None if state is None or state.position is None else int(state.position.offset)

    def _places(self, numbers: Iterable[int]) -> list[KafkaPartition]:
        wanted = frozenset(numbers)
        return [place for place in self._consumer.assignment() if place.partition in wanted]

    def _stored(self, batch: Sequence[Any]) -> list[Stored]:
        return [stored_from(self._names, record) for record in batch]

    def _forget(self, numbers: frozenset[int]) -> None:
        if numbers:
            self._owned -= numbers
            self._paused -= numbers
            self._reached = {p: o for p, o in self._reached.items() if p.partition not in numbers}

    def _membership(self) -> Membership:
        metadata = self._consumer.group_metadata()
        return Membership(metadata.member_id, metadata.generation_id)

    def _claim(self) -> tuple[int, frozenset[int]]:
        """What we tell the group that we own. Called by the client's thread."""
        return self._consumer.group_metadata().generation_id, self._changes.claimed


class _Changes(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped base
    """What the client's thread is told of the group, until our poll takes it up.

    A number is assigned when all its places are, and gone when one is: they move together.
    """

    def __init__(self, names: Names, topics: int) -> None:
        self._names, self._topics = names, topics
        self._lock = threading.Lock()
        self._assigned: set[int] = set()
        self._revoked: set[int] = set()
        self._lost: set[int] = set()
        self.claimed: frozenset[int] = frozenset()
        self.holding = False

    def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        numbers = {place.partition for place in assigned}
        with self._lock:
            self._assigned |= numbers
            self.claimed |= numbers

    def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        numbers = {place.partition for place in revoked}
        with self._lock:
            # What was given and taken within one poll was never anybody's business.
            known = numbers - self._assigned
            self._assigned -= numbers
            self._revoked |= known
            self.claimed -= numbers
            self.holding = bool(self._revoked)

    def on_partitions_lost(self, lost: Iterable[KafkaPartition]) -> None:
        numbers = {place.partition for place in lost}
        with self._lock:
            known = numbers - self._assigned
            self._assigned -= numbers
            self._revoked -= numbers
            self._lost |= known
            self.claimed -= numbers
            self.holding = bool(self._revoked)

    def waiting(self) -> bool:
        """Whether there is something to take."""
        with self._lock:
            return bool(self._assigned or self._revoked or self._lost)

    def take(self) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
        """Numbers (assigned, revoked, lost) since the last call."""
        with self._lock:
            taken = frozenset(self._assigned), frozenset(self._revoked), frozenset(self._lost)
            self._assigned, self._revoked, self._lost = set(), set(), set()
            return taken


def stored_from(names: Names, record: Any) -> Stored:
    """A record of the client as the port has it."""
    return Stored(
        names.own(record.topic), record.partition, record.offset, record.key, record.value,
        tuple(record.headers or ()), record.timestamp,
    )  # fmt: skip
