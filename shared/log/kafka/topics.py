"""What the brokers have of our topics, what they should have, and making it so.

Drift is reported and never silently changed: `apply` makes what is missing and sets what differs
only when told to; another number of partitions is refused for ever.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from kafka import KafkaAdminClient, errors
from kafka.admin import ConfigResource, ConfigResourceType

from shared.log.kafka.client import LARGEST_RECORD, Names, connection, translated
from shared.log.kafka.mends import opened
from shared.log.record import TopicSpec
from shared.log.topics import TopicPlan
from shared.settings import KafkaSettings

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SETTLING_SECONDS: Final = 5.0
MEMORY: Final = "offsets.retention.minutes"


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


def copying_configs(plan: TopicPlan) -> dict[str, str]:
    """What a topic has while old records are copied to it that keep their times.

    A compacted one would begin a file for every hour of the past; the others none more than ever.
    """
    if plan.configs["cleanup.policy"] == "compact":
        return {"message.timestamp.type": "CreateTime", "segment.ms": str(7 * DAY_MS)}
    return {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}


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
            self._admin: Any = opened(KafkaAdminClient, **connection(bootstrap, settings))

    def plan(self) -> list[TopicPlan]:
        """Every topic, with what is there."""
        with translated("looking at the topics"):
            there = set(self._admin.list_topics())
        plans = [self._wanted(spec) for spec in self._specs]
        known = [plan.at_brokers for plan in plans if plan.at_brokers in there]
        standing, configs = self._standing(known), self._configs(known)
        return [
            plan
            if plan.at_brokers not in standing
            else _compared(plan, *standing[plan.at_brokers], configs[plan.at_brokers])
            for plan in plans
        ]

    def brokers(self) -> int:
        """See `shared.log.topics.TopicAdmin`."""
        return len(self._broker_ids())

    def shortest_memory_minutes(self) -> int | None:
        """See `shared.log.topics.TopicAdmin`."""
        wanted = [
            ConfigResource(ConfigResourceType.BROKER, str(broker), {MEMORY: None})
            for broker in self._broker_ids()
        ]
        try:
            found = self._admin.describe_configs(wanted, config_filter="all")
        except errors.KafkaError:  # whoever may make topics need not be allowed to look at brokers
            return None
        said = [
            int(entries[MEMORY]["value"])
            for by_broker in found.values()
            for entries in by_broker.values()
            if MEMORY in entries and entries[MEMORY]["value"] is not None
        ]
        return min(said, default=None)

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
        """Set what differs, and wait until the brokers, which hear of it later, say the same."""
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
        until = time.monotonic() + SETTLING_SECONDS
        while self._differ(plans) and time.monotonic() < until:
            time.sleep(0.05)

    def begin_copy(self) -> None:
        """For all topics, while records are copied that keep their times: these are taken over,
        and nothing is removed for its age before all is there.
        """
        self.configure(
            [
                replace(
                    plan, drift={n: ("", wanted) for n, wanted in copying_configs(plan).items()}
                )
                for plan in self.plan()
            ]
        )

    def end_copy(self) -> None:
        """What `begin_copy` has set, as it is wanted. Records that are there keep their times."""
        ours = [
            replace(
                plan, drift={n: e for n, e in plan.drift.items() if n in copying_configs(plan)}
            )
            for plan in self.plan()
        ]  # fmt: skip
        self.configure([plan for plan in ours if plan.drift])

    def close(self) -> None:
        with suppress(Exception):
            self._admin.close()

    def _differ(self, plans: Sequence[TopicPlan]) -> bool:
        configs = self._configs([plan.at_brokers for plan in plans])
        return any(
            configs[plan.at_brokers].get(name) != wanted
            for plan in plans
            for name, (_, wanted) in plan.drift.items()
        )

    def _wanted(self, spec: TopicSpec) -> TopicPlan:
        return TopicPlan(
            spec.name, self._names.topic(spec.name), spec.partitions or self._partitions,
            self._settings.replication, wanted_configs(spec, self._settings.min_insync),
        )  # fmt: skip

    def _broker_ids(self) -> list[int]:
        with translated("looking at the brokers"):
            found = self._admin.describe_cluster()
        return [each["broker_id"] for each in found["brokers"]]

    def _standing(self, topics: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Topic to its number of partitions, and of copies of the least replicated."""
        if not topics:
            return {}
        with translated("looking at the topics"):
            found = self._admin.describe_topics(list(topics))
        return {
            each["name"]: (
                len(each["partitions"]),
                min(len(partition["replica_nodes"]) for partition in each["partitions"]),
            )
            for each in found
        }

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


def _compared(plan: TopicPlan, found: int, copies: int, configs: Mapping[str, str]) -> TopicPlan:
    return replace(
        plan,
        found=found,
        copies=copies,
        drift={
            name: (configs.get(name, ""), value)
            for name, value in plan.configs.items()
            if configs.get(name, "") != value
        },
    )
