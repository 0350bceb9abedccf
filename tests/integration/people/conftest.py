"""A fresh world for each test, over one directory of postcodes for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.segmenter.people.places.areas import Resolver
from services.segmenter.people.places.coordinates import GridReader
from services.segmenter.people.places.directory import Directory
from tests.integration.people.world import World


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Resolver:
    return Resolver(Directory.open(tmp_path_factory.mktemp("postcodes")), GridReader())


@pytest.fixture
def world(tmp_path: Path, places: Resolver) -> Iterator[World]:
    made = World(tmp_path / "people.db", places)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory, places: Resolver) -> Iterator[World]:
    """One world for many examples; each clears it first."""
    made = World(tmp_path_factory.mktemp("store") / "people.db", places)
    yield made
    made.store.close()
