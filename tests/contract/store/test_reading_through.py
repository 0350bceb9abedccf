"""Reading through all that a schema holds, as `doorstep erase --verify` does."""

from __future__ import annotations

import pytest

from shared.errors import Misconfigured, StoreUnavailable
from shared.store.postgres.contents import ROWS_AT_ONCE, VALUES_AT_ONCE, tables_of
from shared.store.postgres.store import PostgresStore

DDL = (
    "create table person(name text not null, age integer not null) strict",
    "create table letter(number integer primary key, value blob not null) strict",
    "create table number(n integer primary key) strict",
)


@pytest.mark.real("postgres")
def test_every_row_of_every_table_is_read_in_columns_that_hold_text_or_bytes(
    postgres_dsn: str,
) -> None:
    store = PostgresStore(postgres_dsn, "sender", DDL)
    people, letters = 2 * ROWS_AT_ONCE + 1, 2 * VALUES_AT_ONCE + 1
    with store.unit() as unit:
        database = unit.connection
        database.executemany("insert into person values (?, 1)", [(f"{n}",) for n in range(people)])
        database.executemany(
            "insert into letter values (?, ?)", [(n, bytes([n])) for n in range(letters)]
        )
    store.close()

    found = {table: list(rows) for table, rows in tables_of(postgres_dsn, "sender")}

    assert sorted(name for (name,) in found["person"]) == sorted(f"{n}" for n in range(people))
    assert sorted(bytes(value) for (value,) in found["letter"]) == [
        bytes([n]) for n in range(letters)
    ]
    assert {"outbox", "store"} <= found.keys()
    assert "number" not in found


@pytest.mark.real("postgres")
def test_a_schema_that_is_not_there_holds_nothing(postgres_dsn: str) -> None:
    assert list(tables_of(postgres_dsn, "segmenter")) == []


def test_a_server_that_cannot_be_asked_is_said() -> None:
    with pytest.raises(StoreUnavailable):
        list(tables_of("postgresql://nobody@127.0.0.1:9/none", "sender"))
    with pytest.raises(Misconfigured):
        list(tables_of("no connection string", "sender"))
