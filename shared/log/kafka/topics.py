"""What the brokers have of our topics, what they should have, and making it so.

Drift is reported and never silently changed: `apply` makes what is missing and sets what differs
only when told to; another number of partitions is refused for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from shared.log.kafka.client import LARGEST_RECORD, Names, connection, translated
from shared.log.record import TopicSpec
from shared.settings import KafkaSettings

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic: what is wanted, and how what is there differs. `found` None: it is missing."""

    name: str
    at_brokers: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    found: int | None = None
    drift: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether it has another number of partitions, which nothing here will change."""
        return self.found is not None and self.found != self.partitions


def wanted_configs(spec: TopicSpec, min_insync: int) -> dict[str, str]:
    """The configuration of a topic. Compaction alone is not erasure: the active segment is never
    compacted, so compacted topics roll early and have a bound on how long they stay dirty.
    """
    found = {
        "max.message.bytes": str(LARGEST_RECORD),
        "min.insync.replicas": str(min_insync),
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "compression.type": "producer",
        # Retention counts from here, not from the time a fact is dated: an import of what people
        # did last spring must not be removed before it is read.
        "message.timestamp.type": "LogAppendTime",
    }
    if spec.compacted:
        found |= {
            "segment.ms": str(HOUR_MS),
            "max.compaction.lag.ms": str(DAY_MS),
            "min.cleanable.dirty.ratio": "0.1",
            "delete.retention.ms": str(DAY_MS),
        }
    else:
        retention = spec.retention_ms
        found |= {
            "retention.ms": str(-1 if retention is None else retention),
            "segment.ms": str(min(7 * DAY_MS, DAY_MS if retention is None else retention)),
        }
    return found


class Topics:
    """Plans and makes the topics of an installation."""

    def __init__(
        self,
        bootstrap: str,
        settings: KafkaSettings,
        partitions: int,
        specs: Sequence[TopicSpec],
    ) -> None:
        """Raises RetryLater when no broker answers, Misconfigured when they refuse us."""
        self._names, self._settings = Names(settings.prefix), settings
        self._partitions, self._specs = partitions, specs
        with translated("Kafka"):
            self._admin: Any = KafkaAdminClient(**connection(bootstrap, settings))

    def plan(self) -> list[TopicPlan]:
        """Every topic, with what is there."""
        with translated("looking at the topics"):
            there = set(self._admin.list_topics())
        plans = [self._wanted(spec) for spec in self._specs]
        known = [plan.at_brokers for plan in plans if plan.at_brokers in there]
        counts, configs = self._counts(known), self._configs(known)
        return [
            plan
            if plan.at_brokers not in there
            else TopicPlan(
                plan.name, plan.at_brokers, plan.partitions, plan.replication, plan.configs,
                counts[plan.at_brokers],
                {
                    name: (configs[plan.at_brokers].get(name, ""), value)
                    for name, value in plan.configs.items()
                    if configs[plan.at_brokers].get(name, "") != value
                },
            )
            for plan in plans
        ]  # fmt: skip

    def create(self, plans: Sequence[TopicPlan]) -> None:
        """Make these topics and wait until the brokers know them."""
        if not plans:
            return
        with translated("making the topics"):
            self._admin.create_topics(
                {
                    plan.at_brokers: {
                        "num_partitions": plan.partitions,
                        "replication_factor": plan.replication,
                        "configs": dict(plan.configs),
                    }
                    for plan in plans
                }
            )
            self._admin.wait_for_topics([plan.at_brokers for plan in plans])

    def configure(self, plans: Sequence[TopicPlan]) -> None:
        """Set what differs."""
        if not plans:
            return
        resources = [
            ConfigResource(
                ConfigResourceType.TOPIC, plan.at_brokers,
                {name: wanted for name, (_, wanted) in plan.drift.items()},
            )
            for plan in plans
        ]  # fmt: skip
        with translated("configuring the topics"):
            self._admin.alter_configs(resources)

    def close(self) -> None:
        with suppress(Exception):
            self._admin.close()

    def _wanted(self, spec: TopicSpec) -> TopicPlan:
        return TopicPlan(
            spec.name, self._names.topic(spec.name), spec.partitions or self._partitions,
            self._settings.replication, wanted_configs(spec, self._settings.min_insync),
        )  # fmt: skip

    def _counts(self, topics: Sequence[str]) -> dict[str, int]:
        if not topics:
            return {}
        with translated("looking at the topics"):
            found = self._admin.describe_topics(list(topics))
        return {each["name"]: len(each["partitions"]) for each in found}

    def _configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        with translated("looking at the topics"):
            found = self._admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics],
                config_filter="all",
            )
        return {
            topic: {name: str(entry["value"]) for name, entry in entries.items()}
            for by_name in found.values()
            for topic, entries in by_name.items()
        }
