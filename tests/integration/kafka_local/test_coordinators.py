"""A transaction whose coordinator dies is committed by the next one, in the same call."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.kafka.cluster import Cluster
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.record import Record, TopicSpec
from shared.settings import KafkaSettings
from tests.contract.log.narration import read_all, texts

pytestmark = [pytest.mark.real("kafka"), pytest.mark.timeout(240)]

SPECS = (TopicSpec("things", retention_ms=None),)
SOON = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}


def test_what_is_written_after_the_coordinator_died_is_committed_once(tmp_path: Path) -> None:
    """The client by itself forgets the request that finds nobody (`shared/log/kafka/mends.py`):
    then the call has waited for nothing when its time is up, and raises RetryLater.
    """
    with Cluster(tmp_path / "kafka", brokers=3, properties=SOON) as cluster:
        settings = KafkaSettings(replication=3)
        topics = Topics(cluster.bootstrap, settings, 3, SPECS)
        topics.create(topics.plan())
        topics.close()
        log = KafkaLog(cluster.bootstrap, settings, tmp_path, 3, SPECS)
        log.append([Record("things", number, None, b"before") for number in range(3)])

        cluster.kill(coordinator(log))
        log.append([Record("things", number, None, b"after") for number in range(3)])

        follower = log.follow("things")
        assert sorted(texts(read_all(follower))) == ["after"] * 3 + ["before"] * 3
        follower.close()
        log.close()


def coordinator(log: KafkaLog) -> int:
    """The broker that coordinates the transactions of this log's appender."""
    assert log._appender is not None
    named = log._appender._producer._transaction_manager._transaction_coordinator
    return int(str(named).removeprefix("coordinator-"))
