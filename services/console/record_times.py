"""The times of records that `doorstep move` copies: kept, so that each goes when it was to go.

Brokers date records themselves, but for the time of the copy, in which they also remove nothing for
its age. What was sent to them together goes together, when the newest of it is too old.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final

from shared.log.kafka.topics import Topics
from shared.log.record import Stored
from shared.log.topics import TOPICS
from shared.settings import Settings

PARTS: Final = 7
"""Records of a partition that are sent together differ by at most this part of their retention."""


def begin_copy(to: Settings) -> None:
    """At topics that are known to be ours alone: let records bring their times with them."""
    with closing(Topics(to.log, to.kafka, to.partitions, TOPICS)) as topics:
        topics.begin_copy()


def end_copy(to: Settings) -> None:
    """From now on brokers date and remove records as ever."""
    with closing(Topics(to.log, to.kafka, to.partitions, TOPICS)) as topics:
        topics.end_copy()


class Ages:
    """Of the records of one topic, in their order."""

    def __init__(self, topic: str, now_ms: int) -> None:
        kept_ms = next(spec.retention_ms for spec in TOPICS if spec.name == topic)
        self._apart_ms = None if kept_ms is None else kept_ms // PARTS
        self._now_ms = now_ms
        self._begun_ms: dict[int, int] = {}

    def time_of(self, stored: Stored) -> int:
        """Its time; brokers take none that is to come."""
        return min(stored.timestamp_ms, self._now_ms)

    def apart(self, stored: Stored) -> bool:
        """Whether it must not be sent with those of its partition that came before."""
        at_ms = self.time_of(stored)
        began_ms = self._begun_ms.setdefault(stored.partition, at_ms)
        if self._apart_ms is None or abs(at_ms - began_ms) <= self._apart_ms:
            return False
        self._begun_ms = {stored.partition: at_ms}
        return True
