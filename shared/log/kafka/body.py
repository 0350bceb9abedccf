"""Kafka as the log: for a cluster, where any number of each service shares the work.

Members, followers and publishers have clients of their own; this room opens them, appends for
writers without a position, and checks at the start that the topics are what we take them for.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, errors

from shared.errors import DoorstepError, Misconfigured
from shared.log.kafka.client import (
    LARGEST_RECORD,
    Names,
    connection,
    consumer_settings,
    producer_settings,
    translated,
)
from shared.log.kafka.follower import KafkaFollower
from shared.log.kafka.member import KafkaMember
from shared.log.kafka.mends import opened
from shared.log.kafka.publisher import KafkaPublisher
from shared.log.kafka.slots import claim_slot
from shared.log.kafka.transactions import Transactions, refuse_too_large
from shared.log.kafka.watermarks import Watermarks
from shared.log.record import Position, Record, TopicPartition, TopicSpec
from shared.log.topics import TOPICS
from shared.settings import KafkaSettings


class KafkaLog:
    """See `shared.log.port.Log`. Opening it asks the brokers for the topics."""

    def __init__(
        self,
        bootstrap: str,
        settings: KafkaSettings,
        home: Path,
        partitions: int = 24,
        topics: Sequence[TopicSpec] = TOPICS,
    ) -> None:
        """`home`: folder of this machine's claims to transactional ids.

        Raises Misconfigured when a topic is missing or has another number of partitions,
        RetryLater when no broker answers.
        """
        self._home, self._partitions = home, partitions
        self._names = Names(settings.prefix)
        connected = self._connected = connection(bootstrap, settings)
        self._consumer = consumer_settings(connected)
        self._producer = producer_settings(connected, settings.transaction_seconds)
        self._watermarks = Watermarks(self._names, self._consumer)
        self._counts = {spec.name: spec.partitions or partitions for spec in topics}
        self._cursor_topic = topics[0].name
        try:
            self._check_topics()
        except DoorstepError:
            self._watermarks.close()
            raise
        self._lock = threading.Lock()
        self._appender: Transactions | None = None

    @property
    def partitions(self) -> int:
        return self._partitions

    def append(self, records: Sequence[Record]) -> None:
        self._check_records(records)
        with self._lock:
            if self._appender is None:
                self._appender = self._transactions(f"append-{uuid.uuid4().hex[:12]}")
            self._appender.run(records, {}, None)

    def join(
        self, group: str, topics: Sequence[str], *, lease_seconds: float = 10.0
    ) -> KafkaMember:
        slot = claim_slot(self._home, group)
        return KafkaMember(
            self._names, self._consumer, group, topics, self._partitions, lease_seconds,
            self._transactions(slot.name), slot,
        )  # fmt: skip

    def follow(self, topic: str, *, from_end: bool = False) -> KafkaFollower:
        return KafkaFollower(
            self._names, self._consumer, self._watermarks, topic, from_end=from_end
        )

    def publisher(self, name: str) -> KafkaPublisher:
        return KafkaPublisher(
            self._names, self._consumer, self._transactions(f"publisher-{name}"), name,
            self._cursor_topic,
        )  # fmt: skip

    def end_offsets(self, topic: str) -> dict[int, int]:
        return self._watermarks.ends(topic)

    def first_offsets(self, topic: str) -> dict[int, int]:
        return self._watermarks.firsts(topic)

    def positions(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, Position]:
        """See the port. Asked of the coordinator: a client that asks so is no member."""
        places = [place for topic in topics for place in self._watermarks.places(topic)]
        there = self._names.group(group)
        with translated(f"positions of {group}"):
            admin: Any = opened(KafkaAdminClient, **self._connected)
            try:
                found = admin.list_group_offsets({there: places}).get(there, {})
            except errors.GroupIdNotFoundError:
                return {}
            finally:
                admin.close()
        return {
            self._names.ours(place): Position(saved.offset, saved.metadata or "")
            for place, saved in found.items()
            if saved.offset >= 0
        }

    def maintain(self, now_ms: int) -> int:  # noqa: ARG002 - the brokers do it
        """Nothing: retention and compaction are the brokers' work."""
        return 0

    def close(self) -> None:
        with self._lock:
            if self._appender is not None:
                self._appender.close()
        self._watermarks.close()

    def _transactions(self, name: str) -> Transactions:
        return Transactions(self._producer, self._names.group(name), self._names)

    def _check_topics(self) -> None:
        for topic, wanted in self._counts.items():
            found = len(self._watermarks.places(topic))
            if found != wanted:
                raise Misconfigured(
                    f"topic {self._names.topic(topic)} has {found} partitions, the settings say "
                    f"{wanted}; the number is never altered in place: set "
                    f"DOORSTEP_PARTITIONS={found} or make new topics under another "
                    "DOORSTEP_KAFKA__PREFIX"
                )

    def _check_records(self, records: Sequence[Record]) -> None:
        refuse_too_large(records, LARGEST_RECORD)
        for record in records:
            count = self._counts.get(record.topic)
            if count is None:
                raise Misconfigured(f"the log has no topic called {record.topic!r}")
            if not 0 <= record.partition < count:
                raise ValueError(
                    f"{record.topic} has partitions 0 to {count - 1}, there is no "
                    f"{record.partition}"
                )
