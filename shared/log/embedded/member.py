"""One member of a group on the embedded log: poll, commit, seek, and the heartbeat beside it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw

from shared.clock import boot_seconds
from shared.errors import Fenced, PositionOutsideLog
from shared.log.embedded import group as groups
from shared.log.embedded.records import Catalogue, append, fetch, heads
from shared.log.embedded.wakeup import Wakeup
from shared.log.port import Membership, Polled
from shared.log.record import Position, Record, Stored, TopicPartition
from shared.sqlite import open_database, transaction

SYNC_SECONDS = 1.0
FETCH_BYTES = 16 * 1024 * 1024


class EmbeddedMember:
    """See `shared.log.port.Member`. Used by one thread; the heartbeat has its own connection."""

    def __init__(
        self, path: Path, group: str, topics: Sequence[str], partitions: int, lease: float
    ) -> None:
        self._connection = open_database(path, synchronous="FULL")
        self._catalogue = Catalogue(self._connection)
        self._group, self._topics, self._partitions = group, tuple(topics), partitions
        self._lease = lease
        self._wakeup = Wakeup(self._connection)
        self._owned: frozenset[int] = frozenset()
        self._revoking: frozenset[int] = frozenset()
        self._paused: frozenset[int] = frozenset()
        self._next: dict[TopicPartition, int] = {}
        self._generation = -1
        self._next_sync = 0.0
        self._dirty = True
        self._turn = 0
        self._member_id = ""
        self._enter()
        self._heartbeat = Heartbeat(path, group, self._member_id, lease)

    def owned(self) -> frozenset[int]:
        return self._owned

    def poll(self, timeout_seconds: float, max_records: int) -> Polled:
        """See the port. Numbers reported as revoking last time are given up first."""
        until = time.monotonic() + timeout_seconds
        self._give_up_revoking()
        while True:
            change = self._sync()
            if change is not None:
                return change
            records = self._fetch(max_records)
            if records:
                return Polled(self._membership(), records)
            if time.monotonic() >= until:
                return Polled(self._membership())
            self._dirty = self._wakeup.wait(min(until, time.monotonic() + SYNC_SECONDS))

    def commit(
        self,
        membership: Membership,
        outputs: Sequence[Record],
        positions: Mapping[TopicPartition, Position],
    ) -> None:
        """See the port: one `BEGIN IMMEDIATE` that checks ownership, appends, moves positions."""
        with transaction(self._connection) as connection:
            for number in {place.partition for place in positions}:
                if not groups.owns(
                    connection, self._group, membership.member_id, membership.generation, number
                ):
                    raise Fenced(f"{self._group}: partition {number} belongs to another member")
            append(connection, self._catalogue, outputs)
            connection.executemany(
                "insert into position values (?, ?, ?, ?, ?) on conflict do update"
                " set next_offset = excluded.next_offset, metadata = excluded.metadata",
                [
                    (self._group, self._catalogue.topic(place.topic).number, place.partition,
                     position.next_offset, position.metadata)
                    for place, position in positions.items()
                ],
            )  # fmt: skip
        self._dirty = True

    def committed(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        found = {}
        for place in places:
            for next_offset, metadata in self._connection.execute(
                "select next_offset, metadata from position"
                " where grp = ? and topic = ? and partition = ?",
                (self._group, self._catalogue.topic(place.topic).number, place.partition),
            ):
                found[place] = Position(next_offset, metadata)
        return found

    def next_offset(self, place: TopicPartition) -> int:
        return self._next[place]

    def seek(self, place: TopicPartition, next_offset: int) -> None:
        self._next[place] = next_offset
        self._dirty = True

    def rewind(self, places: Sequence[TopicPartition]) -> None:
        for place in places:
            if place.partition in self._owned:
                self._next[place] = self._start(place)
        self._dirty = True

    def pause(self, partitions: frozenset[int]) -> None:
        self._paused |= partitions

    def resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions
        self._dirty = True

    def lag(self) -> dict[str, int]:
        found = {}
        for topic in self._topics:
            ends = heads(self._connection, self._catalogue.topic(topic))
            found[topic] = sum(
                ends[number][1] - self._next[TopicPartition(topic, number)]
                for number in self._owned
            )
        return found

    def close(self) -> None:
        self._heartbeat.stop()
        with transaction(self._connection) as connection:
            groups.remove(connection, self._group, [self._member_id], self._partitions)
        self._connection.close()

    def _membership(self) -> Membership:
        return Membership(self._member_id, self._generation)

    def _enter(self) -> None:
        self._member_id = uuid.uuid4().hex
        with transaction(self._connection) as connection:
            groups.enter(
                connection, self._group, self._member_id, self._topics,
                boot_seconds() + self._lease, self._partitions,
            )  # fmt: skip

    def _give_up_revoking(self) -> None:
        if not self._revoking:
            return
        with transaction(self._connection) as connection:
            groups.give_up(connection, self._group, self._member_id, self._revoking)
        self._forget(self._revoking)
        self._revoking = frozenset()
        self._next_sync = 0.0

    def _forget(self, numbers: frozenset[int]) -> None:
        self._owned -= numbers
        self._paused -= numbers
        self._next = {p: o for p, o in self._next.items() if p.partition not in numbers}

    def _sync(self) -> Polled | None:
        """Bring our view of the group up to date; a Polled when something of ours changed."""
        now = time.monotonic()
        if not self._dirty and now < self._next_sync:
            return None
        self._next_sync = now + SYNC_SECONDS
        boot = boot_seconds()
        dead = groups.dead_members(self._connection, self._group, boot, self._lease)
        standing = groups.standing(self._connection, self._group, self._member_id)
        wanted = standing.target - standing.owned
        if not dead and standing.member and standing.owned == self._owned:
            if standing.owned <= standing.target and not wanted:
                self._generation = standing.generation
                return None
            if standing.owned <= standing.target and not self._any_free(wanted):
                self._generation = standing.generation
                return None
        return self._resync(boot)

    def _any_free(self, wanted: frozenset[int]) -> bool:
        taken = {
            number for (number,) in self._connection.execute(
                "select partition from owner where grp = ?", (self._group,)
            )
        }  # fmt: skip
        return bool(wanted - taken)

    def _resync(self, boot: float) -> Polled | None:
        with transaction(self._connection) as connection:
            dead = groups.dead_members(connection, self._group, boot, self._lease)
            if self._member_id in dead:
                dead.remove(self._member_id)  # alive after all: the heartbeat renews the lease
            if dead:
                groups.remove(connection, self._group, dead, self._partitions)
            gone = not groups.standing(connection, self._group, self._member_id).member
        if gone:
            return self._come_back()
        with transaction(self._connection) as connection:
            standing = groups.standing(connection, self._group, self._member_id)
            lost = self._owned - standing.owned
            assigned = groups.take_free(
                connection, self._group, self._member_id, standing.target - standing.owned
            )
        self._generation = standing.generation
        self._forget(lost)
        self._owned = standing.owned | assigned
        self._dirty = True
        self._revoking = standing.owned - standing.target
        for number in assigned:
            self._locate(number)
        if not (assigned or lost or self._revoking):
            return None
        return Polled(self._membership(), {}, assigned=assigned, revoking=self._revoking, lost=lost)

    def _come_back(self) -> Polled:
        """We were declared dead: everything is lost; join again as a new member."""
        lost = self._owned
        self._forget(lost)
        self._revoking = frozenset()
        self._enter()
        self._heartbeat.become(self._member_id)
        self._next_sync = 0.0
        return Polled(self._membership(), {}, lost=lost)

    def _locate(self, number: int) -> None:
        for topic in self._topics:
            place = TopicPartition(topic, number)
            self._next[place] = self._start(place)

    def _start(self, place: TopicPartition) -> int:
        """The saved position; from the first record kept, explicitly, when there is none."""
        saved = self.committed([place]).get(place)
        if saved is not None:
            return saved.next_offset
        return heads(self._connection, self._catalogue.topic(place.topic))[place.partition][0]

    def _fetch(self, max_records: int) -> dict[TopicPartition, Sequence[Stored]]:
        found: dict[TopicPartition, Sequence[Stored]] = {}
        if not self._dirty:
            return found
        left, left_bytes = max_records, FETCH_BYTES
        ready = self._owned - self._paused - self._revoking
        for topic_name in self._topics:
            topic = self._catalogue.topic(topic_name)
            ends = heads(self._connection, topic)
            for number in self._in_turn(ready):
                place = TopicPartition(topic_name, number)
                first, end = ends[number]
                position = self._next[place]
                self._check_inside(place, position, first, end)
                if position >= end or left <= 0 or left_bytes <= 0:
                    continue
                records = fetch(self._connection, topic, number, position, left)
                if not records:
                    self._next[place] = end
                    continue
                records = _within(records, left_bytes)
                found[place] = records
                self._next[place] = records[-1].offset + 1
                left -= len(records)
                left_bytes -= sum(len(record.value or b"") for record in records)
        self._turn += 1
        if not found:
            self._dirty = False
        return found

    def _in_turn(self, numbers: frozenset[int]) -> list[int]:
        """All numbers, beginning elsewhere each time, so that none is starved."""
        order = sorted(numbers)
        at = self._turn % len(order) if order else 0
        return order[at:] + order[:at]

    def _check_inside(self, place: TopicPartition, position: int, first: int, end: int) -> None:
        if first <= position <= end:
            return
        raise PositionOutsideLog(
            f"{self._group}: the position {position} of {place.topic}[{place.partition}] is not in "
            f"the log, which holds {first} to {end}: records were removed before they were read, "
            "or this log belongs to another installation. See docs/how-to/restore.md"
        )


def _within(records: list[Stored], most_bytes: int) -> list[Stored]:
    """As many records as fit, at least one."""
    total = 0
    for count, record in enumerate(records):
        total += len(record.value or b"")
        if total > most_bytes and count:
            return records[:count]
    return records


class Heartbeat:
    """Renews the lease from a thread of its own; a frozen process stops it like all the rest."""

    def __init__(self, path: Path, group: str, member_id: str, lease: float) -> None:
        self._path, self._group, self._member_id, self._lease = path, group, member_id, lease
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{group}", daemon=True)
        self._thread.start()

    def become(self, member_id: str) -> None:
        """Go on for another member id, after the old one was declared dead."""
        self._member_id = member_id

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection = open_database(self._path, synchronous="NORMAL", cache_mb=1)
        try:
            while not self._stop.wait(self._lease / 3):
                self._renew(connection)
        finally:
            connection.close()

    def _renew(self, connection: apsw.Connection) -> None:
        now = boot_seconds()
        try:
            connection.execute(
                "update member set lease_until = ? where grp = ? and member_id = ?"
                " and lease_until > ?",
                (now + self._lease, self._group, self._member_id, now - 10 * self._lease),
            )
        except apsw.BusyError:
            return
