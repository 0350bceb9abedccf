"""A fresh world for each test, over one directory of postcodes for all, on both bodies of a store.

`sqlite_world` is for tests that listen to the SQL or look at its plans.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.segmenter.people.places.areas import Resolver
from services.segmenter.people.places.coordinates import GridReader
from services.segmenter.people.places.directory import Directory
from shared.store.port import Store, Unit
from tests.integration.people.world import World, postgres_store, sqlite_store

BODIES = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Resolver:
    return Resolver(Directory.open(tmp_path_factory.mktemp("postcodes")), GridReader())


@pytest.fixture(params=BODIES)
def world(request: pytest.FixtureRequest, tmp_path: Path, places: Resolver) -> Iterator[World]:
    made = World(_store(request, tmp_path), places)
    yield made
    made.store.close()


@pytest.fixture
def sqlite_world(tmp_path: Path, places: Resolver) -> Iterator[World]:
    made = World(sqlite_store(tmp_path / "people.db"), places)
    yield made
    made.store.close()


@pytest.fixture(scope="module", params=BODIES)
def shared_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, places: Resolver
) -> Iterator[World]:
    """One world for many examples; each clears it first."""
    made = World(_store(request, tmp_path_factory.mktemp("store")), places)
    yield made
    made.store.close()


def _store(request: pytest.FixtureRequest, folder: Path) -> Store[Unit]:
    if request.param == "sqlite":
        return sqlite_store(folder / "people.db")
    return postgres_store(request.getfixturevalue("postgres_server").dsn())
