"""What each database needs so that the one SQL of rules and lists is asked well.

The meaning is the same without it, but for seeded samples, which SQLite must be taught.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from services.segmenter.people import samples
from shared.store.database import Database, dialect_of

_LISTED: Final = "in (select value from json_each(?))"
_ARRAY: Final = "= any(array(select value from json_each(?)))"


def attune(database: Database) -> None:
    """Before a rule is asked: SQLite can draw samples then, and PostgreSQL compiles nothing to
    machine code, which for a rule of 200 parts took 7 s, and 0.01 s to ask it without.
    """
    if dialect_of(database) == "postgres":
        database.execute("set jit = off")
    else:
        samples.teach(database)


def with_lists(database: Database, sql: str) -> str:
    """The SQL with lists as this database looks their elements up one by one.

    All SQL is written `in (select value from json_each(?))`, which SQLite does just so. PostgreSQL
    may turn that round and run through the list for every row of a table that it takes for small:
    500 of 20,000 rows took 3 s. For an array it never does.
    """
    return sql if dialect_of(database) == "sqlite" else _with_arrays(sql)


@lru_cache(maxsize=1_000)
def _with_arrays(sql: str) -> str:
    return sql.replace(_LISTED, _ARRAY)
