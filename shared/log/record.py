"""Records, positions and topics: the nouns of the log port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record to be appended. A `None` value is a tombstone on a compacted topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as read back, with its place in the log."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    @property
    def place(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    def header(self, name: str) -> bytes | None:
        """The first header of that name, or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a group stands: `next_offset` is the next record to read, never the last one read."""

    next_offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is kept. `retention_ms` None keeps for ever; `partitions` 0 means the log's P."""

    name: str
    compacted: bool = False
    retention_ms: int | None = None
    partitions: int = 0
