"""What is replaced on a compacted topic is really removed, and only a heartbeat sees to that."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from deploy.kafka.cluster import Cluster
from services.segmenter.heartbeats import heartbeats
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import wanted_configs
from shared.log.record import Record
from shared.log.topics import SUPPRESSIONS, TOPICS
from shared.settings import KafkaSettings
from tests.contract.log.narration import read_all, until

pytestmark = [pytest.mark.real("kafka"), pytest.mark.timeout(180)]

SPEC = next(spec for spec in TOPICS if spec.name == SUPPRESSIONS)
QUICK = {"segment.ms": "4000", "max.compaction.lag.ms": "4000", "delete.retention.ms": "1000"}
"""Our settings of a compacted topic, but for hours and days."""


def test_a_replaced_record_goes_after_a_heartbeat_and_not_before(
    kafka_cluster: Cluster, tmp_path: Path
) -> None:
    settings = KafkaSettings(prefix=f"{uuid.uuid4().hex[:8]}.", replication=1, min_insync=1)
    admin = KafkaAdminClient(bootstrap_servers=kafka_cluster.bootstrap)
    name = f"{settings.prefix}{SUPPRESSIONS}"
    admin.create_topics(
        {name: {"num_partitions": 1, "replication_factor": 1,
                "configs": wanted_configs(SPEC, 1) | QUICK}}
    )  # fmt: skip
    admin.wait_for_topics([name])
    admin.close()
    log = KafkaLog(kafka_cluster.bootstrap, settings, tmp_path, 1, (SPEC,))

    def values() -> list[bytes | None]:
        follower = log.follow(SUPPRESSIONS)
        found = [stored.value for stored in read_all(follower)]
        follower.close()
        return found

    said = (b"an old suppression", b"a new one")
    log.append([Record(SUPPRESSIONS, 0, b"someone|everything", each) for each in said])
    quiet_until = time.monotonic() + 10  # more than two segments; the cleaner looks every second
    until(lambda: time.monotonic() > quiet_until, "the topic to have been quiet")
    assert values() == list(said), "brokers do it by themselves now"

    beats = heartbeats([0], datetime.now(UTC))
    log.append([record for record in beats if record.topic == SUPPRESSIONS])
    until(lambda: b"an old suppression" not in values(), "the old one to be removed")
    assert b"a new one" in values()
    log.close()
