"""The port that a service writes and asks its own SQL through, whatever body its store has.

`apsw.Connection` is one as it is; `shared.store.postgres` has the other. The SQL is the same text
on both. What has to be kept in mind to keep it so:

- parameters are `?`; a list goes in as JSON text, `in (select value from json_each(?))`; one of
  numbers as `in (select cast(value as bigint) from json_each(?))`
- `case when`, not `iif`; `case when a > b`, not `max(a, b)`; `on conflict (columns) do update`
  names the columns, and its right-hand side qualifies the table's own
- no rowid: a table that needs one has a column `... integer primary key autoincrement`
- rows of a statement with `returning` must be read to the end (`fetchall`): SQLite runs as it reads
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

Dialect = Literal["sqlite", "postgres"]


class Rows(Protocol):
    """The rows of a statement."""

    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any: ...

    def fetchall(self) -> list[Any]:
        """Those not read yet."""
        ...


class Database(Protocol):
    """A connection. Used by one thread at a time; inside a unit it is in the unit's transaction."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Run one statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Rows:
        """Run one statement for each row of parameters; all their results, one after the other."""
        ...

    def changes(self) -> int:
        """How many rows the last statement that can change rows has changed."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Bulk(Protocol):
    """What a body may do better than row by row."""

    def copy_rows(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None: ...

    def insert_new(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        returning: str,
    ) -> list[Any]: ...


def copy_rows(
    database: Database, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert many rows, none of which is there yet; with COPY where there is such a thing."""
    if isinstance(database, Bulk):
        database.copy_rows(table, columns, rows)
    else:
        database.executemany(_insert(table, columns), rows)


def insert_new(
    database: Database,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    returning: str,
) -> list[Any]:
    """Insert, in this order, the rows that no unique index refuses; `returning` of those inserted.

    Where several instances insert at once, an index makes the later one wait for the earlier: rows
    that may meet must come in an order all agree on, or two may wait for each other.
    """
    if not rows:
        return []
    if isinstance(database, Bulk):
        return database.insert_new(table, columns, rows, returning)
    sql = f"{_insert(table, columns)} on conflict do nothing returning {returning}"
    return [value for (value,) in database.executemany(sql, rows)]


def dialect_of(database: Database) -> Dialect:
    """For the rare place where no text serves both."""
    dialect: Dialect = getattr(database, "dialect", "sqlite")
    return dialect


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"insert into {table}({', '.join(columns)}) values ({marks})"
