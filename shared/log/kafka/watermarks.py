"""Ends of topics as the brokers have them, open transactions included.

Asked read-uncommitted: under read-committed a topic's "end" is the last *stable* offset, and a
reader that starts during somebody's open transaction would stop short of what is about to be there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from kafka import KafkaConsumer
from kafka.structs import TopicPartition as KafkaPartition

from shared.errors import Misconfigured
from shared.log.kafka.client import REQUEST_MS, Names, translated
from shared.log.kafka.mends import make_finding, opened

JUST_MADE_SECONDS: Final = 5.0
"""A topic that one broker knows already, another may not know yet."""


class Watermarks:
    """One client for all who ask, one at a time."""

    def __init__(self, names: Names, settings: Mapping[str, Any]) -> None:
        self._names = names
        self._lock = threading.Lock()
        with translated("Kafka"):
            self._consumer: Any = make_finding(
                opened(KafkaConsumer, **{**settings, "isolation_level": "read_uncommitted"})
            )
            self._consumer.bootstrap(timeout_ms=settings["bootstrap_timeout_ms"])

    def places(self, topic: str) -> list[KafkaPartition]:
        """The partitions of a topic. Raises Misconfigured when there is no such topic."""
        there = self._names.topic(topic)
        until = time.monotonic() + JUST_MADE_SECONDS
        while not (numbers := self._numbers(topic, there)) and time.monotonic() < until:
            time.sleep(0.1)
        if not numbers:
            raise Misconfigured(
                f"the log has no topic called {topic!r} (at the brokers: {there}): make the topics "
                "with `doorstep topics apply`"
            )
        return [KafkaPartition(there, number) for number in sorted(numbers)]

    def _numbers(self, topic: str, there: str) -> set[int]:
        with self._lock, translated(topic):
            return set(self._consumer.partitions_for_topic(there))

    def ends(self, topic: str) -> dict[int, int]:
        """One past the newest record of each partition, committed or open."""
        places = self.places(topic)
        with self._lock, translated(topic):
            ends = self._consumer.end_offsets(places, timeout_ms=REQUEST_MS)
        return {place.partition: end for place, end in ends.items()}

    def firsts(self, topic: str) -> dict[int, int]:
        """The first record kept of each partition."""
        places = self.places(topic)
        with self._lock, translated(topic):
            firsts = self._consumer.beginning_offsets(places, timeout_ms=REQUEST_MS)
        return {place.partition: first for place, first in firsts.items()}

    def close(self) -> None:
        with self._lock:
            self._consumer.close(autocommit=False, timeout_ms=2_000)
