"""Copies a SQLite store into PostgreSQL, table by table: `move_store`, called by each service.

A service knows its tables, nobody else does; so each is moved by a process of its own, which is
told on standard input where its positions are in the new log, and answers with counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import apsw

from shared.errors import Misconfigured
from shared.observability.fail_points import FailPoints
from shared.settings import Settings
from shared.store.database import Database, copy_rows
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore

POSITIONS: Final = "input_position"


def move_store(
    settings: Settings,
    dsn: str,
    service: str,
    file: str,
    ddl: Sequence[str],
    *,
    postgres_ddl: Sequence[str] = (),
    afterwards: Sequence[str] = (),
    positions: Mapping[str, Mapping[str, int]],
    published: Mapping[str, int],
) -> dict[str, dict[str, int]]:
    """Table to its rows before and after. All of it in one transaction, with the store's id: where
    that is there already, so is all the rest, and it is only compared.

    `positions`: topic to partition to next offset; `published`: partition to the last published
    row of the outbox. Raises Misconfigured when the service runs, is not drained, or when there is
    something else in PostgreSQL already.
    """
    fail_points = FailPoints(settings.fail_at)
    source = SqliteStore(settings.home / service / file, ddl, synchronous="FULL")
    target = PostgresStore(dsn, service, ddl, postgres_ddl=postgres_ddl)
    try:
        _refuse_waiting(source.connection, service, published)
        tables = _tables(source.connection)
        with target.unit() as unit:
            database = unit.connection
            # Waits for an earlier call that was left behind and still copies.
            ((there,),) = database.execute("select store_id from store for update")
            if there == source.store_id:
                _refuse_read_on(source, database, service, positions)
            else:
                _refuse_full(database, service, tables)
                _copy(source, database, tables, positions)
                for statement in afterwards:
                    database.execute(statement)
            counts = {
                table: {
                    "before": _count(source.connection, table),
                    "after": _count(database, table),
                }
                for table in tables
            }
            wrong = [table for table, n in counts.items() if n["before"] != n["after"]]
            if wrong:
                raise Misconfigured(f"{service}: not the same rows are in {', '.join(wrong)}")
            fail_points.reach("move.store.before_commit")
        fail_points.reach("move.store.after_commit")
        return counts
    finally:
        target.close()
        source.close()


def answer(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Tell whoever started us."""
    print(json.dumps(counts))


def asked() -> dict[str, Any]:
    """What we were told on standard input: `dsn`, `positions`, `published`."""
    told: dict[str, Any] = json.loads(sys.stdin.read())
    return told


def _copy(
    source: SqliteStore,
    database: Database,
    tables: Sequence[str],
    positions: Mapping[str, Mapping[str, int]],
) -> None:
    database.execute("update store set store_id = ?", (source.store_id,))
    for table in tables:
        columns = _columns(source.connection, table)
        copy_rows(database, table, columns, _new_rows(source, table, columns, positions))
    for table, column, newest in _numbered(source.connection):
        database.execute(f"alter table {table} alter column {column} restart with {newest + 1}")


def _tables(database: apsw.Connection) -> list[str]:
    return [
        name
        for (name,) in database.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
            " order by name"
        )
        if name != "store"
    ]


def _columns(database: apsw.Connection, table: str) -> list[str]:
    return [name for (name,) in database.execute("select name from pragma_table_info(?)", (table,))]


def _new_rows(
    source: SqliteStore,
    table: str,
    columns: Sequence[str],
    positions: Mapping[str, Mapping[str, int]],
) -> Iterator[Sequence[Any]]:
    """The rows of a table, with positions as they are in the new log."""
    rows = source.connection.execute(f"select {', '.join(columns)} from {table}")
    yield from _translated(rows, columns, positions) if table == POSITIONS else rows


def _translated(
    rows: Iterable[Sequence[Any]],
    columns: Sequence[str],
    positions: Mapping[str, Mapping[str, int]],
) -> Iterator[Sequence[Any]]:
    for row in rows:
        place = dict(zip(columns, row, strict=True))
        try:
            place["next_offset"] = positions[place["topic"]][str(place["partition"])]
        except KeyError:
            raise Misconfigured(
                f"{place['topic']}[{place['partition']}]: the new log has no such position"
            ) from None
        yield [place[column] for column in columns]


def _numbered(database: apsw.Connection) -> list[tuple[str, str, int]]:
    """(table, column, newest) of columns that give out numbers."""
    if not list(database.execute("select 1 from sqlite_master where name = 'sqlite_sequence'")):
        return []
    return [
        (table, _columns(database, table)[0], int(newest))
        for table, newest in database.execute("select name, seq from sqlite_sequence")
    ]


def _count(database: Any, table: str) -> int:
    ((number,),) = database.execute(f"select count(*) from {table}")
    return int(number)


def _refuse_waiting(database: apsw.Connection, service: str, published: Mapping[str, int]) -> None:
    for partition, newest in database.execute("select partition, last_seq from ownership"):
        if newest > published.get(str(partition), 0):
            raise Misconfigured(
                f"{service}: partition {partition} has records that are not on the log yet: "
                "start the services once more and let them end in order"
            )


def _refuse_full(database: Database, service: str, tables: Sequence[str]) -> None:
    for table in tables:
        if _count(database, table):
            raise Misconfigured(
                f"PostgreSQL has rows in {service}.{table} already: the target must be empty"
            )


def _refuse_read_on(
    source: SqliteStore,
    database: Database,
    service: str,
    positions: Mapping[str, Mapping[str, int]],
) -> None:
    columns = _columns(source.connection, POSITIONS)
    wanted = {tuple(row) for row in _new_rows(source, POSITIONS, columns, positions)}
    if set(database.execute(f"select {', '.join(columns)} from {POSITIONS}")) != wanted:
        raise Misconfigured(
            f"{service}: its store in PostgreSQL has been used before the move was done; delete "
            "topics and schemas, then run it again"
        )
