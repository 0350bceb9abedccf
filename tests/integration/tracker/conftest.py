"""Trackers for the tests: one that runs for a module, and homes to start one on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.tracker.running import RunningTracker, tracker_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[RunningTracker]:
    """Not started."""
    with tracker_home(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTracker]:
    """Running; shared by the tests of a module, which tell their hits apart by supporter."""
    with tracker_home(tmp_path_factory.mktemp("tracker")) as running:
        yield running.start().ready()
