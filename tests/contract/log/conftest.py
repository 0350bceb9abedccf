"""Fixtures of the port's contract: a second body of the log only adds itself to `BODIES`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.log.embedded.body import EmbeddedLog
from shared.log.port import Log
from shared.log.record import TopicSpec

PARTITIONS = 6
TOPICS = (
    TopicSpec("in"),
    TopicSpec("more"),
    TopicSpec("out"),
    TopicSpec("table", compacted=True, partitions=1),
    TopicSpec("short", retention_ms=1_000),
)


def embedded(folder: Path) -> Log:
    return EmbeddedLog(folder / "log.db", PARTITIONS, TOPICS)


BODIES = {"embedded": embedded}


@pytest.fixture(params=sorted(BODIES))
def body(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(body: str, tmp_path: Path) -> Iterator[Log]:
    opened = BODIES[body](tmp_path)
    yield opened
    opened.close()
