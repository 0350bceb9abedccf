"""A town for each test: on SQLite and on PostgreSQL, or, for several segmenters, the latter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.segmenter.people.schema import POSTGRES_DDL
from services.segmenter.schema import DDL
from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore
from tests.integration.segmenter.town import Town


@pytest.fixture(params=["sqlite", "postgres"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Town]:
    postgres = request.param == "postgres"
    made = Town(tmp_path, request.getfixturevalue("postgres_dsn") if postgres else "")
    yield made
    made.stop()


@pytest.fixture
def shared_town(postgres_dsn: str, tmp_path: Path) -> Iterator[Town]:
    """Where more than one segmenter may run."""
    made = Town(tmp_path, postgres_dsn)
    yield made
    made.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store[Unit]]:
    """A segmenter's store, and no segmenter."""
    made: Store[Unit]
    if request.param == "sqlite":
        made = SqliteStore(tmp_path / "people.db", DDL, synchronous="NORMAL")
    else:
        dsn = request.getfixturevalue("postgres_dsn")
        made = PostgresStore(dsn, "segmenter", DDL, postgres_ddl=POSTGRES_DDL)
    yield made
    made.close()
