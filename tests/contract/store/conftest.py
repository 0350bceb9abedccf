"""Fixtures of the store's contract: each body supplies how an instance of a store is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore

DDL = (
    "create table kept(name text primary key, number integer, share real, raw blob) strict",
    "create table numbered(number_no integer primary key autoincrement, name text) strict",
    "create unique index numbered_name on numbered(name)",
    "create table wide(entry_no integer primary key, name text not null, at_ms integer) strict",
)
Opening = Callable[[], Store[Unit]]


@pytest.fixture(params=["sqlite", "postgres"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    """Opens instances of one and the same store."""
    opened: list[Store[Unit]] = []
    if request.param == "postgres":
        dsn = request.getfixturevalue("postgres_dsn")

    def new() -> Store[Unit]:
        store: Store[Unit]
        if request.param == "postgres":
            store = PostgresStore(dsn, "service", DDL)
        else:
            store = SqliteStore(tmp_path / "store.db", DDL, synchronous="NORMAL")
        opened.append(store)
        return store

    yield new
    for store in opened:
        store.close()


@pytest.fixture
def store(opening: Opening) -> Store[Unit]:
    """One instance, which owns the numbers 0 and 1."""
    opened = opening()
    opened.take(0)
    opened.take(1)
    return opened


@pytest.fixture
def instance(postgres_dsn: str) -> Iterator[Opening]:
    """Opens instances of one and the same store in PostgreSQL."""
    opened: list[PostgresStore] = []

    def new() -> PostgresStore:
        opened.append(PostgresStore(postgres_dsn, "service", DDL))
        return opened[-1]

    yield new
    for store in opened:
        store.close()
