"""The port: what a body of the log must offer.

Two bodies implement it, Kafka for a cluster and one SQLite file for one machine, and one contract
suite runs on both. The heart is `Member.commit`: outputs and positions together or not at all.
Partition numbers are the unit of ownership: a member that owns number p owns partition p of every
topic of its group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.log.record import Position, Record, Stored, TopicPartition


@dataclass(frozen=True, slots=True)
class Membership:
    """Proof of membership, captured when a batch was polled. Opaque to everyone but the body."""

    member_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll brought.

    `assigned`: numbers newly owned. `revoking`: numbers that another member waits for; they are
    still owned until the next poll, so finish or drop their work first. `lost`: numbers that are
    gone already; nothing of theirs may be committed. `records` are in offset order within a place.
    `passed`: places without records where reading has moved past what is not for us to see (markers
    of transactions): the next offset to save, so that positions reach the end of the log.
    """

    membership: Membership
    records: Mapping[TopicPartition, Sequence[Stored]] = field(default_factory=dict)
    assigned: frozenset[int] = frozenset()
    revoking: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    passed: Mapping[TopicPartition, int] = field(default_factory=dict)


class Member(Protocol):
    """One member of a consumer group. Used by one thread only."""

    def poll(self, timeout_seconds: float, max_records: int) -> Polled:
        """Wait up to `timeout_seconds` for records of owned, unpaused partitions.

        Raises PositionOutsideLog when a position is not in the log. Never returns records of a
        number reported in `revoking`.
        """
        ...

    def commit(
        self,
        membership: Membership,
        outputs: Sequence[Record],
        positions: Mapping[TopicPartition, Position],
    ) -> None:
        """Append outputs and move positions, together or not at all; durable on return.

        Raises Fenced when the membership is not of a live member that owns every number in
        `positions`; then nothing was written.
        """
        ...

    def committed(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        """The group's saved positions; a place without one is absent."""
        ...

    def next_offset(self, place: TopicPartition) -> int:
        """Where reading of an owned place stands now."""
        ...

    def seek(self, place: TopicPartition, next_offset: int) -> None:
        """Read `place` from `next_offset` on."""
        ...

    def rewind(self, places: Sequence[TopicPartition]) -> None:
        """After a commit that failed: read these places again from their saved positions."""
        ...

    def pause(self, partitions: frozenset[int]) -> None:
        """Bring no records of these numbers until `resume`."""
        ...

    def resume(self, partitions: frozenset[int]) -> None: ...

    def owned(self) -> frozenset[int]:
        """The numbers this member owns now, as far as it knows."""
        ...

    def lag(self) -> dict[str, int]:
        """Topic to the number of records of owned numbers that were not yet read.

        A body may count a transaction's marker as a record.
        """
        ...

    def close(self) -> None:
        """Leave the group at once; owned numbers are free for others."""
        ...


class Follower(Protocol):
    """Reads a topic without a group: tables, tails, projections."""

    def read(self, timeout_seconds: float = 0.0, max_records: int = 5_000) -> list[Stored]:
        """The next records, oldest first per partition; empty when there are none in time."""
        ...

    def next_offsets(self) -> dict[int, int]:
        """Where this follower stands, by partition."""
        ...

    def end_offsets(self) -> dict[int, int]:
        """The high watermark, by partition: one past the newest record, committed or open."""
        ...

    def close(self) -> None: ...


class Publisher(Protocol):
    """Publishes from a store of its own without reading the log; its cursor lives in the log."""

    def cursor(self) -> str:
        """The metadata of the last commit, "" before the first."""
        ...

    def commit(self, outputs: Sequence[Record], cursor: str) -> None:
        """Append outputs and replace the cursor, together or not at all. Raises Fenced when
        another publisher of the same name has taken over.
        """
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """A body of the log. Thread-safe to open members, followers and publishers from."""

    @property
    def partitions(self) -> int:
        """P, the one number of partitions of all keyed topics."""
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Append all records or none; durable on return. For writers without a position."""
        ...

    def join(self, group: str, topics: Sequence[str], *, lease_seconds: float = 10.0) -> Member:
        """Become a member of `group`, reading `topics` (the same list for every member)."""
        ...

    def follow(self, topic: str, *, from_end: bool = False) -> Follower: ...

    def publisher(self, name: str) -> Publisher:
        """The one publisher called `name`; opening it fences an older holder."""
        ...

    def end_offsets(self, topic: str) -> dict[int, int]:
        """High watermark by partition."""
        ...

    def first_offsets(self, topic: str) -> dict[int, int]:
        """The first record kept, by partition: where a group without a position begins."""
        ...

    def positions(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, Position]:
        """The saved positions of a group, without joining it; a place without one is absent."""
        ...

    def maintain(self, now_ms: int) -> int:
        """Housekeeping a body needs from time to time (retention); returns records removed."""
        ...

    def close(self) -> None: ...
