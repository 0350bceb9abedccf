"""A member that is put out of its group while it joins anew hears that its numbers are lost."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.record import TopicSpec
from shared.settings import KafkaSettings
from tests.integration.sender.processes import until

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

pytestmark = [pytest.mark.real("kafka"), pytest.mark.timeout(120)]

SPECS = (TopicSpec("things", retention_ms=None),)
ALL = frozenset(range(6))


def test_who_is_put_out_under_way_gets_its_numbers_anew(
    tmp_path: Path, kafka_cluster: Cluster
) -> None:
    """As one that is frozen between two rounds of a rebalance, and thawed after its session."""
    settings = KafkaSettings(prefix=f"out-{uuid.uuid4().hex[:8]}-", replication=1, min_insync=1)
    topics = Topics(kafka_cluster.bootstrap, settings, len(ALL), SPECS)
    topics.create(topics.plan())
    topics.close()
    log = KafkaLog(kafka_cluster.bootstrap, settings, tmp_path, len(ALL), SPECS)
    member = log.join("g", ["things"], lease_seconds=6.0)
    until(lambda: member.poll(0.1, 10) and member.owned() == ALL, "all numbers")
    forget_its_name_at_the_next_join(member._coordinator)
    lost: set[int] = set()
    assigned: set[int] = set()

    def told() -> bool:
        polled = member.poll(0.1, 10)
        lost.update(polled.lost)
        assigned.update(polled.assigned)
        return assigned == ALL

    member._coordinator.request_rejoin()
    until(told, "the numbers to be given anew", seconds=40)

    assert lost == ALL
    member.close()
    log.close()


def forget_its_name_at_the_next_join(coordinator: Any) -> None:
    """When all is prepared and the member asks to join, the brokers do not know it any more."""
    prepare = coordinator._on_join_prepare_async

    async def once(*arguments: Any, **options: Any) -> None:
        coordinator._on_join_prepare_async = prepare
        await prepare(*arguments, **options)
        coordinator._generation.member_id = "put-out"

    coordinator._on_join_prepare_async = once
