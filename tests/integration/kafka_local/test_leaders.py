"""A client that knew the leaders finds the new ones after a broker was killed, and soon."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.errors import RetryLater
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.record import Record, TopicSpec
from shared.settings import KafkaSettings
from tests.integration.sender.processes import until

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

pytestmark = [pytest.mark.real("kafka"), pytest.mark.timeout(180)]

SPECS = (TopicSpec("things", retention_ms=None),)
PARTITIONS = 6


def test_the_ends_of_a_topic_are_told_while_a_broker_is_away_and_after(
    tmp_path: Path, kafka_of_three: Cluster
) -> None:
    settings = KafkaSettings(prefix=f"leaders-{uuid.uuid4().hex[:8]}-", replication=3)
    topics = Topics(kafka_of_three.bootstrap, settings, PARTITIONS, SPECS)
    topics.create(topics.plan())
    topics.close()
    log = KafkaLog(kafka_of_three.bootstrap, settings, tmp_path, PARTITIONS, SPECS)
    log.append([Record("things", number, None, b"x") for number in range(PARTITIONS)])
    before = log.end_offsets("things")

    def told() -> bool:
        try:
            found = log.end_offsets("things")
        except RetryLater:
            return False
        return all(found[number] >= end for number, end in before.items())

    try:
        kafka_of_three.kill(1)
        until(told, "the ends", seconds=20)
        kafka_of_three.restart(1)
        until(told, "the ends", seconds=20)
        kafka_of_three.kill(2)
        until(told, "the ends", seconds=20)
    finally:
        for number in (1, 2):
            if not kafka_of_three.is_running(number):
                kafka_of_three.restart(number)
        log.close()
