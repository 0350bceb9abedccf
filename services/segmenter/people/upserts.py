"""Writing many rows, of which some are there already, in one go.

SQLite runs one prepared statement for each row, which costs it nothing; for PostgreSQL each row
would be a statement more, so there the columns travel as arrays and one statement writes all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from shared.store.database import Database, dialect_of

Type = Literal["text", "bigint", "double precision", "bytea"]


@dataclass(frozen=True, slots=True)
class Upsert:
    """Rows of `columns` of a table. Whose `key` is there already is updated by `setting` (SQL,
    where `excluded` is the new row), or stays as it is when that is empty.
    """

    table: str
    columns: Mapping[str, Type]
    key: Sequence[str]
    setting: str = ""

    def write(self, database: Database, rows: Iterable[Sequence[Any]]) -> None:
        """Write them in order of their keys; none may come twice, unless what is there stays."""
        names = list(self.columns)
        ordered = sorted(rows, key=itemgetter(*(names.index(column) for column in self.key)))
        if not ordered:
            return
        if dialect_of(database) == "postgres":
            arrays = ", ".join(f"?::{kind}[]" for kind in self.columns.values())
            listed = ", ".join(names)
            source = f"select {listed} from unnest({arrays}) as given({listed})"
            columns = zip(self.columns.values(), zip(*ordered, strict=True), strict=True)
            database.execute(self._sql(source), [_array(kind, column) for kind, column in columns])
        else:
            marks = ", ".join("?" * len(self.columns))
            database.executemany(self._sql(f"values ({marks})"), ordered)

    def _sql(self, source: str) -> str:
        names, key = ", ".join(self.columns), ", ".join(self.key)
        action = f"update set {self.setting}" if self.setting else "nothing"
        return f"insert into {self.table}({names}) {source} on conflict ({key}) do {action}"


def taken_over(*columns: str) -> str:
    """The setting that takes these columns from the new row."""
    return ", ".join(f"{column} = excluded.{column}" for column in columns)


def _array(kind: Type, values: Iterable[Any]) -> list[Any]:
    """As psycopg sends it rightly: a list of whole numbers goes by the size of the first one."""
    if kind == "bigint":
        return [None if value is None else str(value) for value in values]
    return list(values)
