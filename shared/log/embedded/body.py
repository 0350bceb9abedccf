"""The embedded log: opening the file, appending, following, publishing, keeping it small."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from shared.errors import Fenced
from shared.log.embedded.member import EmbeddedMember
from shared.log.embedded.records import Catalogue, append, fetch, heads
from shared.log.embedded.schema import prepare
from shared.log.embedded.wakeup import Wakeup
from shared.log.record import Position, Record, Stored, TopicPartition, TopicSpec
from shared.log.topics import TOPICS
from shared.sqlite import open_database, transaction

CHUNK = 2_000
TOMBSTONE_MS = 86_400_000


class EmbeddedLog:
    """See `shared.log.port.Log`. One file; as many processes as you like."""

    def __init__(
        self, path: Path, partitions: int = 24, topics: Sequence[TopicSpec] = TOPICS
    ) -> None:
        self._path, self._partitions = path, partitions
        self._lock = threading.Lock()
        self._connection = open_database(path, synchronous="FULL")
        prepare(self._connection, topics, partitions)
        self._catalogue = Catalogue(self._connection)

    @property
    def partitions(self) -> int:
        return self._partitions

    def append(self, records: Sequence[Record]) -> None:
        with self._lock, transaction(self._connection) as connection:
            append(connection, self._catalogue, records)

    def join(
        self, group: str, topics: Sequence[str], *, lease_seconds: float = 10.0
    ) -> EmbeddedMember:
        return EmbeddedMember(self._path, group, topics, self._partitions, lease_seconds)

    def follow(self, topic: str, *, from_end: bool = False) -> EmbeddedFollower:
        return EmbeddedFollower(self._path, topic, from_end)

    def publisher(self, name: str) -> EmbeddedPublisher:
        return EmbeddedPublisher(self._path, name)

    def end_offsets(self, topic: str) -> dict[int, int]:
        with self._lock:
            found = heads(self._connection, self._catalogue.topic(topic))
        return {partition: end for partition, (_, end) in found.items()}

    def first_offsets(self, topic: str) -> dict[int, int]:
        with self._lock:
            found = heads(self._connection, self._catalogue.topic(topic))
        return {partition: first for partition, (first, _) in found.items()}

    def positions(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, Position]:
        with self._lock:
            return {
                TopicPartition(topic, partition): Position(next_offset, metadata)
                for topic in topics
                for partition, next_offset, metadata in self._connection.execute(
                    "select partition, next_offset, metadata from position"
                    " where grp = ? and topic = ?",
                    (group, self._catalogue.topic(topic).number),
                )
            }

    def maintain(self, now_ms: int) -> int:
        """Remove what retention lets go, in chunks of their own transactions; how many records.

        What a group that stands somewhere has yet to read stays: a machine that was off for longer
        than a topic is kept loses nothing.
        """
        removed = 0
        with self._lock:
            topics = list(self._connection.execute("select id, compacted, retention_ms from topic"))
        for topic, compacted, retention_ms in topics:
            if compacted:
                removed += self._remove_tombstones(topic, now_ms - TOMBSTONE_MS)
            elif retention_ms is not None:
                removed += self._remove_before(topic, now_ms - retention_ms)
        return removed

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _remove_before(self, topic: int, before_ms: int) -> int:
        """Remove records from the front of each partition while they are older."""
        removed = 0
        with self._lock:
            places = list(
                self._connection.execute(
                    "select partition, first_offset, next_offset from head where topic = ?"
                    " and next_offset > first_offset",
                    (topic,),
                )
            )
            unread = dict(
                self._connection.execute(
                    "select partition, min(next_offset) from position where topic = ?"
                    " group by partition",
                    (topic,),
                )
            )
        for partition, oldest, end in places:
            first, following = oldest, min(end, unread.get(partition, end))
            while first < following:
                upto = min(first + CHUNK, following)
                with self._lock, transaction(self._connection) as connection:
                    (young,) = next(
                        connection.execute(
                            "select min(offset) from record where topic = ? and partition = ?"
                            " and offset >= ? and offset < ? and timestamp_ms >= ?",
                            (topic, partition, first, upto, before_ms),
                        )
                    )
                    until = upto if young is None else young
                    connection.execute(
                        "delete from record where topic = ? and partition = ? and offset < ?",
                        (topic, partition, until),
                    )
                    removed += connection.changes()
                    connection.execute(
                        "update head set first_offset = ? where topic = ? and partition = ?",
                        (until, topic, partition),
                    )
                if young is not None:
                    break
                first = upto
        return removed

    def _remove_tombstones(self, topic: int, before_ms: int) -> int:
        with self._lock, transaction(self._connection) as connection:
            connection.execute(
                "delete from record where topic = ? and value is null and timestamp_ms < ?",
                (topic, before_ms),
            )
            return connection.changes()


class EmbeddedFollower:
    """See `shared.log.port.Follower`."""

    def __init__(self, path: Path, topic: str, from_end: bool) -> None:
        self._connection = open_database(path, synchronous="FULL", cache_mb=8)
        self._topic = Catalogue(self._connection).topic(topic)
        self._wakeup = Wakeup(self._connection)
        found = heads(self._connection, self._topic)
        self._next = {
            partition: (end if from_end else first) for partition, (first, end) in found.items()
        }

    def read(self, timeout_seconds: float = 0.0, max_records: int = 5_000) -> list[Stored]:
        until = time.monotonic() + timeout_seconds
        while True:
            self._wakeup.changed()
            records = self._read_now(max_records)
            if records or time.monotonic() >= until:
                return records
            self._wakeup.wait(until)

    def next_offsets(self) -> dict[int, int]:
        return dict(self._next)

    def end_offsets(self) -> dict[int, int]:
        return {
            partition: end for partition, (_, end) in heads(self._connection, self._topic).items()
        }

    def close(self) -> None:
        self._connection.close()

    def _read_now(self, max_records: int) -> list[Stored]:
        found: list[Stored] = []
        for partition, end in self.end_offsets().items():
            if self._next[partition] >= end or len(found) >= max_records:
                continue
            records = fetch(
                self._connection, self._topic, partition,
                self._next[partition], max_records - len(found),
            )  # fmt: skip
            found.extend(records)
            self._next[partition] = records[-1].offset + 1 if records else end
        return found


class EmbeddedPublisher:
    """See `shared.log.port.Publisher`. Opening one raises the epoch and fences the older."""

    def __init__(self, path: Path, name: str) -> None:
        self._connection = open_database(path, synchronous="FULL", cache_mb=8)
        self._catalogue = Catalogue(self._connection)
        self._name = name
        with transaction(self._connection) as connection:
            connection.execute(
                "insert into publisher values (?, 1, '')"
                " on conflict do update set epoch = epoch + 1",
                (name,),
            )
            ((self._epoch,),) = connection.execute(
                "select epoch from publisher where name = ?", (name,)
            )

    def cursor(self) -> str:
        ((cursor,),) = self._connection.execute(
            "select cursor from publisher where name = ?", (self._name,)
        )
        return str(cursor)

    def commit(self, outputs: Sequence[Record], cursor: str) -> None:
        with transaction(self._connection) as connection:
            connection.execute(
                "update publisher set cursor = ? where name = ? and epoch = ?",
                (cursor, self._name, self._epoch),
            )
            if not connection.changes():
                raise Fenced(f"another publisher called {self._name!r} has taken over")
            append(connection, self._catalogue, outputs)

    def close(self) -> None:
        self._connection.close()
