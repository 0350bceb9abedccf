"""Units and stores on PostgreSQL: several instances, each owning partition numbers by its epoch.

A unit locks the ownership row of every number it touches, as of its own epoch. So another
instance's `take` waits for the end of our transaction, and after it we are fenced. Units of one
process are serialised by a lock that siblings share, as SQLite's `begin immediate` does: two
threads of an instance never wait for each other inside PostgreSQL, and instances meet only where
one takes a number from another, and on unique indexes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from shared.errors import Fenced, RetryLater, StoreUnavailable
from shared.log.record import Record, TopicPartition
from shared.observability.logs import Journal
from shared.store import sql
from shared.store.port import OutboxRow
from shared.store.postgres.connection import PostgresDatabase
from shared.store.postgres.migrations import migrate

FORCE_SECONDS = 0.5
"""After a wait for a number that was too long, it is waited for so much longer."""


class PostgresUnit:
    """See `shared.store.port.Unit`. What is emitted is kept and written when the unit ends."""

    def __init__(self, database: PostgresDatabase, epochs: dict[int, int]) -> None:
        self.connection = database
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
        emitted, checked = len(self._emitted), set(self._checked)
        try:
            with self.connection.savepoint():
                yield
        except BaseException:
            del self._emitted[emitted:]
            self._checked = checked  # the locks taken inside went with the savepoint
            raise

    def check(self, *partitions: int) -> None:
        """See the port: locks their ownership until the unit ends.

        The epoch is part of the question, so that a fenced instance never waits for its successor.
        """
        missing = sorted(set(partitions) - self._checked)
        if not missing:
            return
        epochs = [self._epochs.get(partition, -1) for partition in missing]
        found = {
            partition for (partition,) in self.connection.execute(
                "select o.partition from ownership o"
                " join unnest(?::bigint[], ?::bigint[]) as mine(partition, epoch)"
                " on o.partition = mine.partition and o.epoch = mine.epoch"
                " order by o.partition for update of o",
                (missing, epochs),
            )
        }  # fmt: skip
        if gone := [partition for partition in missing if partition not in found]:
            raise Fenced(f"partition {gone[0]} belongs to another instance")
        self._checked |= found

    def flush(self) -> None:
        """Number and write what was emitted, in order."""
        if not self._emitted:
            return
        counts = Counter(partition for partition, _ in self._emitted)
        newest = dict(
            self.connection.execute(
                "update ownership o set last_seq = o.last_seq + more.rows"
                " from unnest(?::bigint[], ?::bigint[]) as more(partition, rows)"
                " where o.partition = more.partition returning o.partition, o.last_seq",
                (list(counts), list(counts.values())),
            )
        )
        seqs = {partition: newest[partition] - number for partition, number in counts.items()}
        rows = []
        for partition, record in self._emitted:
            seqs[partition] += 1
            rows.append(sql.outbox_row(partition, seqs[partition], record))
        self.connection.copy_rows("outbox", sql.OUTBOX, rows)


class PostgresStore:
    """See `shared.store.port.Store`. `schema` is the service's own in the database."""

    def __init__(
        self,
        dsn: str,
        schema: str,
        ddl: Sequence[str],
        *,
        postgres_ddl: Sequence[str] = (),
    ) -> None:
        """`ddl` is translated, `postgres_ddl` is run as it is, after it."""
        self._dsn, self._schema = dsn, schema
        self.connection = PostgresDatabase(dsn, schema, name=schema)
        try:
            self.connection.connect()
            migrate(self.connection, ddl, postgres_ddl)
            ((self._store_id,),) = self.connection.execute("select store_id from store")
        except BaseException:
            self.connection.close()
            raise
        self._epochs: dict[int, int] = {}
        self._one_unit = threading.Lock()
        self._journal = Journal("store")

    def sibling(self) -> PostgresStore:
        """The same store for another thread of this process."""
        twin = object.__new__(PostgresStore)
        twin.__dict__.update(self.__dict__)
        twin.connection = PostgresDatabase(self._dsn, self._schema, name=self._schema)
        return twin

    def reader(self) -> PostgresDatabase:
        """A connection for questions, of another thread; it cannot write."""
        return PostgresDatabase(
            self._dsn, self._schema, name=f"{self._schema}-questions", read_only=True
        )

    @property
    def store_id(self) -> str:
        return str(self._store_id)

    def take(self, partition: int) -> None:
        with self._one_unit:
            try:
                epoch = sql.raised_epoch(self.connection, partition)
            except StoreUnavailable:
                raise
            except RetryLater:
                epoch = self._take_by_force(partition)
        self._epochs[partition] = epoch

    def _take_by_force(self, partition: int) -> int:
        """Take a number whose old owner has not ended its unit, and end the session that holds it.

        The log gave the number to us: the old owner may not write any more. A session that is idle
        in a transaction is cut by the server, but not one that was frozen while it sent the rows of
        a statement.
        """
        ((mine,),) = self.connection.execute("select pg_backend_pid()")
        self._journal.warning("store.taking_by_force", partition=partition)
        other = PostgresDatabase(self._dsn, self._schema, name=self._schema)

        def end_holders() -> None:
            with suppress(RetryLater):
                other.execute(
                    "select pg_terminate_backend(a.pid) from pg_stat_activity a"
                    " where a.pid = any(pg_blocking_pids(?::integer))"
                    " and a.wait_event_type is distinct from 'Lock'",
                    (mine,),
                )

        ending = threading.Timer(FORCE_SECONDS, end_holders)
        ending.start()
        try:
            return sql.raised_epoch(self.connection, partition)
        finally:
            ending.cancel()
            ending.join()
            other.close()

    def drop(self, partition: int) -> None:
        self._epochs.pop(partition, None)

    def owned(self) -> frozenset[int]:
        return frozenset(self._epochs)

    def overtaken(self) -> frozenset[int]:
        return sql.overtaken(self.connection, dict(self._epochs))

    def positions(self, partition: int) -> dict[TopicPartition, int]:
        return sql.positions(self.connection, partition)

    @contextmanager
    def unit(self) -> Iterator[PostgresUnit]:
        with self._one_unit, self.connection.transaction():
            unit = PostgresUnit(self.connection, self._epochs)
            yield unit
            unit.flush()

    def pending(self, partition: int, after_seq: int, limit: int) -> list[OutboxRow]:
        return sql.pending(self.connection, partition, after_seq, limit)

    def last_seqs(self) -> dict[int, int]:
        return sql.last_seqs(self.connection)

    def last_seq(self, partition: int) -> int:
        return self.last_seqs().get(partition, 0)

    def close(self) -> None:
        self.connection.close()
