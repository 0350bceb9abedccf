"""Fixtures of the port's contract: a further body of the log only adds itself to `BODIES`.

A body is opened over a folder, by this process and by others; what the folder needs to hold for it
is put there by `prepare`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from shared.log.embedded.body import EmbeddedLog
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.port import Log
from shared.log.record import TopicSpec
from shared.settings import KafkaSettings

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

SHORT_MS = 60_000
PARTITIONS = 6
TOPICS = (
    TopicSpec("in"),
    TopicSpec("more"),
    TopicSpec("out"),
    TopicSpec("table", compacted=True, partitions=1),
    TopicSpec("short", retention_ms=SHORT_MS),
)
BROKERS: Final = {"kafka": 1, "kafka-3": 3}


def embedded(folder: Path) -> Log:
    return EmbeddedLog(folder / "log.db", PARTITIONS, TOPICS)


def kafka(folder: Path) -> Log:
    bootstrap, settings = kafka_settings(folder)
    return KafkaLog(bootstrap, settings, folder, PARTITIONS, TOPICS)


def kafka_settings(folder: Path) -> tuple[str, KafkaSettings]:
    """Where the brokers are, and the settings, as `prepare_kafka` left them."""
    said = json.loads((folder / "kafka.json").read_text())
    return said["bootstrap"], KafkaSettings(**said["settings"])


BODIES: dict[str, Callable[[Path], Log]] = {
    "embedded": embedded, "kafka": kafka, "kafka-3": kafka,
}  # fmt: skip


def prepare_kafka(
    folder: Path,
    cluster: Cluster,
    brokers: int,
    partitions: int = PARTITIONS,
    specs: Sequence[TopicSpec] = TOPICS,
) -> None:
    """Topics of their own for each test, in a cluster that all share."""
    settings = {
        "prefix": f"{uuid.uuid4().hex[:8]}.",
        "replication": brokers,
        "min_insync": min(2, brokers),
    }
    (folder / "kafka.json").write_text(
        json.dumps({"bootstrap": cluster.bootstrap, "settings": settings})
    )
    topics = Topics(cluster.bootstrap, KafkaSettings(**settings), partitions, specs)
    topics.create(topics.plan())
    topics.close()


@pytest.fixture(params=sorted(BODIES))
def body(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name = str(request.param)
    if name in BROKERS:
        fixture = "kafka_cluster" if BROKERS[name] == 1 else "kafka_of_three"
        prepare_kafka(tmp_path, request.getfixturevalue(fixture), BROKERS[name])
    return name


@pytest.fixture
def log(body: str, tmp_path: Path) -> Iterator[Log]:
    opened = BODIES[body](tmp_path)
    yield opened
    opened.close()
