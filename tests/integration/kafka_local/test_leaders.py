"""A client that knew the leaders of a topic finds the new ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaConnectionError

from deploy.kafka.cluster import Cluster
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.record import Record, TopicSpec
from shared.settings import KafkaSettings
from tests.integration.sender.processes import until

pytestmark = [pytest.mark.real("kafka"), pytest.mark.timeout(180)]

SPECS = (TopicSpec("things", retention_ms=None),)
PARTITIONS = 6
PREFERRED = 0


@pytest.fixture
def settings() -> KafkaSettings:
    return KafkaSettings(prefix=f"{uuid.uuid4().hex[:8]}.", replication=3)


@pytest.fixture
def log(kafka_of_three: Cluster, settings: KafkaSettings, tmp_path: Path) -> Iterator[KafkaLog]:
    topics = Topics(kafka_of_three.bootstrap, settings, PARTITIONS, SPECS)
    topics.create(topics.plan())
    topics.close()
    log = KafkaLog(kafka_of_three.bootstrap, settings, tmp_path, PARTITIONS, SPECS)
    log.append([Record("things", number, None, b"x") for number in range(PARTITIONS)])
    yield log
    log.close()


def test_the_ends_of_a_topic_are_told_when_another_broker_leads_and_the_old_one_lives(
    kafka_of_three: Cluster, settings: KafkaSettings, log: KafkaLog
) -> None:
    """No connection is lost: nothing but the old leader's word tells the client. By itself it asks
    the old one again and again, and is out of time (`shared/log/kafka/mends.py`).
    """
    before = log.end_offsets("things")
    topic = f"{settings.prefix}things"
    old = leaders(kafka_of_three, topic)
    moved = {number: leader % 3 + 1 for number, leader in old.items()}
    lead(kafka_of_three, topic, moved)
    for broker in (1, 2, 3):
        until(lambda broker=broker: leaders(kafka_of_three, topic, broker) == moved, "new leaders")  # type: ignore[misc]
    assert reach(log.end_offsets("things"), before)


def test_the_ends_of_a_topic_are_told_when_a_leader_is_gone(
    kafka_of_three: Cluster, settings: KafkaSettings, log: KafkaLog
) -> None:
    before = log.end_offsets("things")
    topic = f"{settings.prefix}things"
    kafka_of_three.kill(1)
    try:
        until(lambda: 1 not in leaders(kafka_of_three, topic, 2).values(), "others to lead")
        assert reach(log.end_offsets("things"), before)
    finally:
        kafka_of_three.restart(1)


def reach(ends: dict[int, int], before: dict[int, int]) -> bool:
    """Markers of transactions may have come since."""
    return ends.keys() == before.keys() and all(ends[n] >= end for n, end in before.items())


def leaders(cluster: Cluster, topic: str, broker: int = 1) -> dict[int, int]:
    """Partition to the broker that leads, as one of them has it; none while it does not answer."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=cluster.nodes[broker - 1].address)
        try:
            (found,) = admin.describe_topics([topic])
        finally:
            admin.close()
    except KafkaConnectionError:
        return dict.fromkeys(range(PARTITIONS), 1)
    return {each["partition_index"]: each["leader_id"] for each in found["partitions"]}


def lead(cluster: Cluster, topic: str, wanted: dict[int, int]) -> None:
    """Let these brokers lead: first among the copies of their partitions, then elected."""
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    places = {
        TopicPartition(topic, number): [leader, *({1, 2, 3} - {leader})]
        for number, leader in wanted.items()
    }
    assert set(admin.alter_partition_reassignments(places).values()) == {None}
    admin.elect_leaders(PREFERRED, {topic: list(wanted)})
    admin.close()
