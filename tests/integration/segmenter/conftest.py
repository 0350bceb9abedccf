"""A town for each test: on SQLite and on PostgreSQL, or, for several segmenters, the latter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
