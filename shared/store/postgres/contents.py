"""What the tables of a schema hold, read through from beginning to end without writing anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from shared.store.postgres.connection import PostgresDatabase

ROWS_AT_ONCE: Final = 1_000
VALUES_AT_ONCE: Final = 10
"""Of tables with values of records: one may have a megabyte."""

_TEXTS: Final = (
    "select c.table_name, c.column_name, c.data_type from information_schema.columns c"
    " join information_schema.tables t on t.table_schema = c.table_schema"
    " and t.table_name = c.table_name and t.table_type = 'BASE TABLE'"
    " where c.table_schema = ? and c.data_type in ('text', 'bytea')"
    " order by c.table_name, c.ordinal_position"
)


def tables_of(dsn: str, schema: str) -> Iterator[tuple[str, Iterator[tuple[Any, ...]]]]:
    """Each table and its rows, of columns that are text or bytes; rows are to be read before the
    next table. No tables when there is no such schema. Raises RetryLater, Misconfigured.
    """
    with closing(PostgresDatabase(dsn, schema, name="console", read_only=True)) as database:
        database.connect()
        columns: dict[str, dict[str, str]] = {}
        for table, column, kind in database.execute(_TEXTS, (schema,)):
            columns.setdefault(table, {})[column] = kind
        for table, kinds in columns.items():
            at_once = VALUES_AT_ONCE if "bytea" in kinds.values() else ROWS_AT_ONCE
            names = ", ".join(f'"{column}"' for column in kinds)
            yield table, database.stream(f'select {names} from "{table}"', at_once)
