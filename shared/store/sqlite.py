"""The SQLite body of a store: one file, one instance, several threads of it.

Each thread that writes opens its own `SqliteStore` on the same file with `sibling`; epochs are
shared between siblings. A second instance on the file is refused by a lock that the operating
system frees when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

import apsw

from shared.errors import Fenced, Misconfigured
from shared.log.embedded.schema import pack_headers, unpack_headers
from shared.log.record import Record, TopicPartition
from shared.sqlite import open_database, savepoint, transaction
from shared.store.port import OutboxRow

COMMON = (
    "create table store(store_id text not null) strict",
    """create table input_position(
        topic text not null, partition integer not null, next_offset integer not null,
        primary key (topic, partition)
    ) strict, without rowid""",
    """create table ownership(
        partition integer primary key, epoch integer not null, last_seq integer not null default 0
    ) strict""",
    """create table outbox(
        partition integer not null, seq integer not null, topic text not null,
        out_partition integer not null, key blob, value blob, headers blob not null,
        timestamp_ms integer not null, primary key (partition, seq)
    ) strict""",
)


class SqliteUnit:
    """See `shared.store.port.Unit`. `connection` is what handlers write their own state through."""

    def __init__(self, connection: apsw.Connection, epochs: dict[int, int]) -> None:
        self.connection = connection
        self._epochs = epochs
        self._checked: set[int] = set()

    def emit(self, partition: int, record: Record) -> None:
        self.check(partition)
        ((seq,),) = self.connection.execute(
            "update ownership set last_seq = last_seq + 1 where partition = ? returning last_seq",
            (partition,),
        )
        self.connection.execute(
            "insert into outbox values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                partition, seq, record.topic, record.partition, record.key, record.value,
                pack_headers(record.headers), record.timestamp_ms,
            ),
        )  # fmt: skip

    def advance(self, place: TopicPartition, old: int | None, new: int) -> None:
        self.check(place.partition)
        if old is None:
            self.connection.execute(
                "insert into input_position values (?, ?, ?) on conflict do nothing",
                (place.topic, place.partition, new),
            )
        else:
            self.connection.execute(
                "update input_position set next_offset = ?"
                " where topic = ? and partition = ? and next_offset = ?",
                (new, place.topic, place.partition, old),
            )
        if not self.connection.changes():
            raise Fenced(f"the position of {place.topic}[{place.partition}] has moved meanwhile")

    def trim(self, partition: int, through_seq: int) -> None:
        self.connection.execute(
            "delete from outbox where partition = ? and seq <= ?", (partition, through_seq)
        )

    def part(self) -> AbstractContextManager[None]:
        return savepoint(self.connection)

    def check(self, partition: int) -> None:
        """Raises Fenced when the number is not owned by this instance (any more)."""
        if partition in self._checked:
            return
        mine = self._epochs.get(partition)
        for (epoch,) in self.connection.execute(
            "select epoch from ownership where partition = ?", (partition,)
        ):
            if epoch == mine:
                self._checked.add(partition)
                return
        raise Fenced(f"partition {partition} belongs to another instance")


class SqliteStore:
    """See `shared.store.port.Store`. `ddl` is the service's own schema, in order of versions."""

    def __init__(
        self,
        path: Path,
        ddl: Sequence[str],
        *,
        synchronous: Literal["FULL", "NORMAL"],
        cache_mb: int = 64,
    ) -> None:
        self._path, self._synchronous, self._cache_mb = path, synchronous, cache_mb
        self._lock_file = _lock(path)
        self.connection = open_database(path, synchronous=synchronous, cache_mb=cache_mb)
        _migrate(self.connection, path, ddl)
        ((self._store_id,),) = self.connection.execute("select store_id from store")
        self._epochs: dict[int, int] = {}

    def sibling(self) -> SqliteStore:
        """The same store for another thread of this process."""
        twin = object.__new__(SqliteStore)
        twin.__dict__.update(self.__dict__)
        twin.connection = open_database(
            self._path, synchronous=self._synchronous, cache_mb=self._cache_mb
        )
        twin._lock_file = -1
        return twin

    @property
    def store_id(self) -> str:
        return str(self._store_id)

    def take(self, partition: int) -> None:
        with transaction(self.connection):
            ((epoch,),) = self.connection.execute(
                "insert into ownership(partition, epoch) values (?, 1)"
                " on conflict do update set epoch = epoch + 1 returning epoch",
                (partition,),
            )
        self._epochs[partition] = epoch

    def drop(self, partition: int) -> None:
        self._epochs.pop(partition, None)

    def owned(self) -> frozenset[int]:
        """The numbers taken and not dropped."""
        return frozenset(self._epochs)

    def positions(self, partition: int) -> dict[TopicPartition, int]:
        return {
            TopicPartition(topic, partition): next_offset
            for topic, next_offset in self.connection.execute(
                "select topic, next_offset from input_position where partition = ?", (partition,)
            )
        }

    @contextmanager
    def unit(self) -> Iterator[SqliteUnit]:
        with transaction(self.connection):
            yield SqliteUnit(self.connection, self._epochs)

    def pending(self, partition: int, after_seq: int, limit: int) -> list[OutboxRow]:
        return [
            OutboxRow(
                partition,
                seq,
                Record(topic, out, key, value, unpack_headers(headers), timestamp_ms),
            )
            for seq, topic, out, key, value, headers, timestamp_ms in self.connection.execute(
                "select seq, topic, out_partition, key, value, headers, timestamp_ms from outbox"
                " where partition = ? and seq > ? order by seq limit ?",
                (partition, after_seq, limit),
            )
        ]

    def last_seqs(self) -> dict[int, int]:
        return dict(self.connection.execute("select partition, last_seq from ownership"))

    def last_seq(self, partition: int) -> int:
        for (seq,) in self.connection.execute(
            "select last_seq from ownership where partition = ?", (partition,)
        ):
            return int(seq)
        return 0

    def close(self) -> None:
        self.connection.close()
        if self._lock_file >= 0:
            os.close(self._lock_file)


def _lock(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise Misconfigured(
            f"{path} is in use by another instance; a SQLite store serves one. "
            "Stop the other one, or use PostgreSQL to share the work"
        ) from error
    return handle


def _migrate(connection: apsw.Connection, path: Path, ddl: Sequence[str]) -> None:
    steps = (*COMMON, "", *ddl)
    with transaction(connection):
        done = int(connection.pragma("user_version"))
        if done > len(steps):
            raise Misconfigured(f"{path} was written by a newer Doorstep; run that one")
        for statement in steps[done:]:
            if statement:
                connection.execute(statement)
            else:
                connection.execute("insert into store values (?)", (uuid.uuid4().hex,))
        connection.pragma("user_version", len(steps))
