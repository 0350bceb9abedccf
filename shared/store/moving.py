"""Copies a SQLite store into PostgreSQL, table by table: `move_store`, called by each service.

A service knows its tables, nobody else does; so each is moved by a process of its own, which is
told on standard input where its positions are in the new log, and answers with counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from shared.errors import Misconfigured
from shared.settings import Settings
from shared.store.database import copy_rows
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore


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
    """Table to its rows before and after. All of it in one transaction.

    `positions`: topic to partition to next offset; `published`: partition to the last published
    row of the outbox. Raises Misconfigured when the service runs, is not drained, or when there is
    something in PostgreSQL already.
    """
    source = SqliteStore(settings.home / service / file, ddl, synchronous="FULL")
    target = PostgresStore(dsn, service, ddl, postgres_ddl=postgres_ddl)
    try:
        _refuse_waiting(source.connection, service, published)
        tables = _tables(source.connection)
        _refuse_full(target, service, tables)
        counts: dict[str, dict[str, int]] = {}
        with target.unit() as unit:
            database = unit.connection
            database.execute("update store set store_id = ?", (source.store_id,))
            for table in tables:
                columns = _columns(source.connection, table)
                rows = _rows(source.connection, table, columns)
                if table == "input_position":
                    rows = _translated(rows, columns, positions)
                copy_rows(database, table, columns, rows)
                counts[table] = {"before": _count(source.connection, table)}
            for table, column, newest in _numbered(source.connection):
                database.execute(
                    f"alter table {table} alter column {column} restart with {newest + 1}"
                )
            for statement in afterwards:
                database.execute(statement)
            for table in tables:
                counts[table]["after"] = _count(database, table)
            wrong = [table for table, n in counts.items() if n["before"] != n["after"]]
            if wrong:
                raise Misconfigured(f"{service}: not all rows arrived in {', '.join(wrong)}")
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


def _rows(database: apsw.Connection, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    yield from database.execute(f"select {', '.join(columns)} from {table}")


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


def _refuse_full(target: PostgresStore, service: str, tables: Sequence[str]) -> None:
    for table in tables:
        if _count(target.connection, table):
            raise Misconfigured(
                f"PostgreSQL has rows in {service}.{table} already: the target must be empty"
            )
