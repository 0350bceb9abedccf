"""Fixtures of stations: the tests of a module that asks for `body` run on both kinds of ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.sender.schema import LEDGER_DDL
from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore
from tests.integration.sender.station import Body


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def body(request: pytest.FixtureRequest) -> Body:
    """What gives each station of the module a ledger of its own."""
    if request.param == "sqlite":
        return None
    server = request.getfixturevalue("postgres_server")
    return server.dsn  # type: ignore[no-any-return]


@pytest.fixture
def ledger(body: Body, tmp_path: Path) -> Iterator[Store[Unit]]:
    """The store of a ledger, without a sender; it owns nothing yet."""
    opened: Store[Unit]
    if body is None:
        opened = SqliteStore(tmp_path / "ledger.db", LEDGER_DDL, synchronous="FULL")
    else:
        opened = PostgresStore(body(), "sender", LEDGER_DDL)
    yield opened
    opened.close()
