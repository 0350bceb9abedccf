"""Reading a topic on Kafka without a group: tables, tails, projections."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer

from shared.log.kafka.client import REQUEST_MS, Names, translated
from shared.log.kafka.member import stored_from
from shared.log.kafka.mends import make_finding, opened
from shared.log.kafka.watermarks import Watermarks
from shared.log.record import Stored


class KafkaFollower:
    """See `shared.log.port.Follower`. Used by one thread."""

    def __init__(
        self,
        names: Names,
        settings: Mapping[str, Any],
        watermarks: Watermarks,
        topic: str,
        *,
        from_end: bool,
    ) -> None:
        self._names, self._watermarks, self._topic = names, watermarks, topic
        self._places = watermarks.places(topic)
        with translated(topic):
            self._consumer: Any = make_finding(opened(KafkaConsumer, **settings))
            try:
                self._begin(from_end=from_end)
            except BaseException:
                self.close()
                raise

    def read(self, timeout_seconds: float = 0.0, max_records: int = 5_000) -> list[Stored]:
        until = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, until - time.monotonic())
            with translated(self._topic):
                found = self._consumer.poll(timeout_ms=int(left * 1000), max_records=max_records)
            if found or time.monotonic() >= until:
                return [
                    stored_from(self._names, record)
                    for place in sorted(found)
                    for record in found[place]
                ]

    def next_offsets(self) -> dict[int, int]:
        with translated(self._topic):
            return {
                place.partition: int(self._consumer.position(place, timeout_ms=REQUEST_MS) or 0)
                for place in self._places
            }

    def end_offsets(self) -> dict[int, int]:
        return self._watermarks.ends(self._topic)

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=2_000)

    def _begin(self, *, from_end: bool) -> None:
        self._consumer.assign(self._places)
        begin = self._consumer.end_offsets if from_end else self._consumer.beginning_offsets
        for place, offset in begin(self._places, timeout_ms=REQUEST_MS).items():
            self._consumer.seek(place, offset)
