"""A client that knew the leaders finds the new ones, when an old one is back as a follower."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import KafkaAdminClient
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


def test_the_ends_of_a_topic_are_told_when_the_old_leader_came_back_as_a_follower(
    tmp_path: Path,
) -> None:
    keep = {"auto.leader.rebalance.enable": "false"}  # who lost the lead does not get it back
    with Cluster(tmp_path / "kafka", brokers=3, properties=keep) as cluster:
        settings = KafkaSettings(replication=3)
        topics = Topics(cluster.bootstrap, settings, PARTITIONS, SPECS)
        topics.create(topics.plan())
        topics.close()
        log = KafkaLog(cluster.bootstrap, settings, tmp_path, PARTITIONS, SPECS)
        log.append([Record("things", number, None, b"x") for number in range(PARTITIONS)])
        before = log.end_offsets("things")

        cluster.kill(1)
        until(lambda: 1 not in leaders(cluster), "the others to lead")
        cluster.restart(1)

        found = log.end_offsets("things")
        log.close()
    assert all(found[number] >= end for number, end in before.items())


def leaders(cluster: Cluster) -> set[int]:
    """Who leads, as a broker that lives has it; broker 1 while none is to be had."""
    admin = KafkaAdminClient(bootstrap_servers=cluster.nodes[1].address)
    try:
        (topic,) = admin.describe_topics(["things"])
    except KafkaConnectionError:
        return {1}
    finally:
        admin.close()
    return {partition["leader_id"] for partition in topic["partitions"]}
