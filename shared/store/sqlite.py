"""The SQLite body of a store: one file, one instance, several threads of it.

Each thread that writes opens its own `SqliteStore` on the same file with `sibling`; epochs are
shared between siblings. A second instance on the file is refused by a lock that the operating
system frees when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import apsw

from shared.errors import Fenced, Misconfigured, StoreRefuses
from shared.log.record import Record, TopicPartition
from shared.sqlite import open_database, savepoint, transaction
from shared.store import sql
from shared.store.port import OutboxRow
from shared.store.schema import COMMON_DDL

_UNIQUE = (
    apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID,
)  # fmt: skip


class SqliteUnit:
    """See `shared.store.port.Unit`. `connection` is what handlers write their own state through."""

    def __init__(self, connection: apsw.Connection, epochs: dict[int, int]) -> None:
        self.connection = connection
        self._epochs = epochs
        self._checked: set[int] = set()
        self._emitted: list[tuple[int, Record]] = []

    def emit(self, partition: int, record: Record) -> None:
        self.check(partition)
        self._emitted.append((partition, record))

    def advance(self, place: TopicPartition, old: int | None, new: int) -> None:
        self.check(place.partition)
        sql.advance(self.connection, place, old, new)

    def trim(self, partition: int, through_seq: int) -> None:
        sql.trim(self.connection, partition, through_seq)

    @contextmanager
    def part(self) -> Iterator[None]:
        emitted = len(self._emitted)
        try:
            with savepoint(self.connection):
                yield
        except BaseException:
            del self._emitted[emitted:]
            raise

    def flush(self) -> None:
        """Number and write what was emitted, in order."""
        seqs = {
            partition: self._numbers(partition, number)
            for partition, number in Counter(partition for partition, _ in self._emitted).items()
        }
        self.connection.executemany(
            "insert into outbox values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sql.outbox_row(partition, next(seqs[partition]), record)
                for partition, record in self._emitted
            ),
        )

    def _numbers(self, partition: int, number: int) -> Iterator[int]:
        """The next so many seqs of a partition."""
        ((last,),) = self.connection.execute(
            "update ownership set last_seq = last_seq + ? where partition = ? returning last_seq",
            (number, partition),
        )
        return iter(range(last - number + 1, last + 1))

    def check(self, *partitions: int) -> None:
        """See the port: nobody else can write before the unit ends."""
        for partition in set(partitions) - self._checked:
            mine = self._epochs.get(partition)
            found = self.connection.execute(
                "select epoch from ownership where partition = ?", (partition,)
            ).fetchall()
            if found != [(mine,)]:
                raise Fenced(f"partition {partition} belongs to another instance")
            self._checked.add(partition)


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

    def reader(self) -> apsw.Connection:
        """A connection for questions, of another thread; it cannot write."""
        connection = open_database(self._path, synchronous=self._synchronous, cache_mb=8)
        connection.pragma("query_only", True)
        return connection

    @property
    def store_id(self) -> str:
        return str(self._store_id)

    def take(self, partition: int) -> None:
        with transaction(self.connection):
            epoch = sql.raised_epoch(self.connection, partition)
        self._epochs[partition] = epoch

    def drop(self, partition: int) -> None:
        self._epochs.pop(partition, None)

    def owned(self) -> frozenset[int]:
        return frozenset(self._epochs)

    def overtaken(self) -> frozenset[int]:
        return sql.overtaken(self.connection, dict(self._epochs))

    def positions(self, partition: int) -> dict[TopicPartition, int]:
        return sql.positions(self.connection, partition)

    @contextmanager
    def unit(self) -> Iterator[SqliteUnit]:
        """See the port. There is one instance, so what a unique index refuses never goes in."""
        try:
            with transaction(self.connection):
                unit = SqliteUnit(self.connection, self._epochs)
                yield unit
                unit.flush()
        except apsw.ConstraintError as error:
            if getattr(error, "extendedresult", 0) not in _UNIQUE:
                raise
            raise StoreRefuses(f"{self._path}: {error}") from error

    def pending(self, partition: int, after_seq: int, limit: int) -> list[OutboxRow]:
        return sql.pending(self.connection, partition, after_seq, limit)

    def last_seqs(self) -> dict[int, int]:
        return sql.last_seqs(self.connection)

    def last_seq(self, partition: int) -> int:
        return self.last_seqs().get(partition, 0)

    def close(self) -> None:
        self.connection.close()
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1


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
    steps = (*COMMON_DDL, "", *ddl)
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
