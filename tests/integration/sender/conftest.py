"""Fixtures of stations: the tests of a module that asks for `body` run on both kinds of ledger."""

from __future__ import annotations

import pytest

from tests.integration.sender.station import Body


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def body(request: pytest.FixtureRequest) -> Body:
    """What gives each station of the module a ledger of its own."""
    if request.param == "sqlite":
        return None
    server = request.getfixturevalue("postgres_server")
    return server.dsn  # type: ignore[no-any-return]
