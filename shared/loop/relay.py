"""The outbox relay: publishes a store's outbox so that every row is on the log exactly once.

One log commit carries the rows as outputs, the input positions as positions, and
`store_id:last_seq` as the metadata of the position of the cursor place (the group's first topic).
On every assignment the metadata is read back: what it covers is published. A differing store id,
or a published seq beyond the store's newest, means a wrong or restored store.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from shared.errors import Fenced, RetryLater, WrongStore
from shared.log.port import Member, Membership
from shared.log.record import Position, Record, TopicPartition
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.store.port import Store, Unit

ROWS = 1_000
BYTES = 8 * 1024 * 1024
FOLLOW_SECONDS = 10.0
"""How long the log's positions may be behind the store's when nothing is published."""


class Relay:
    """Publishes for the numbers it has taken up. Used by the loop's thread only."""

    def __init__(
        self,
        group: str,
        topics: tuple[str, ...],
        member: Member,
        store: Store[Unit],
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self._group, self._topics, self._member, self._store = group, topics, member, store
        self._fail_points, self._metrics = fail_points, metrics
        self._published: dict[int, int] = {}
        self._doubtful = False
        self._trimmed: dict[int, int] = {}
        self._followed: dict[TopicPartition, Position] = {}
        self._next_follow = time.monotonic() + FOLLOW_SECONDS

    def take_up(self, partition: int) -> None:
        """Read the cursor back. Raises WrongStore when store and log do not belong together."""
        self._published[partition] = self._read_back(partition)
        self._trimmed[partition] = 0

    def adopt(self, published: Mapping[int, int]) -> None:
        """Take up numbers of which the log knows nothing, from what was found out elsewhere."""
        self._published.update(published)
        self._trimmed.update(dict.fromkeys(published, 0))

    def _read_back(self, partition: int) -> int:
        place = self._cursor_place(partition)
        saved = self._member.committed([place]).get(place)
        metadata = saved.metadata if saved is not None else ""
        newest = self._store.last_seq(partition)
        return self._read_cursor(partition, metadata, newest)

    def let_go(self, partition: int) -> None:
        """Publish for this number no more."""
        self._published.pop(partition, None)
        self._trimmed.pop(partition, None)
        self._followed = {
            place: position for place, position in self._followed.items()
            if place.partition != partition
        }  # fmt: skip

    def follow(self, membership: Membership, *, at_once: bool = False) -> None:
        """Let the log's positions follow where nothing was published that could carry them.

        Now and then, or `at_once`: whoever asks the log what is not yet handled would otherwise
        count for ever what gave no cause to publish. Raises as `publish`.
        """
        if self._doubtful or (not at_once and time.monotonic() < self._next_follow):
            return
        self._next_follow = time.monotonic() + FOLLOW_SECONDS
        moved = {
            place: position for place, position in self._log_positions(self._published).items()
            if self._followed.get(place) != position
        }  # fmt: skip
        if not moved:
            return
        try:
            self._member.commit(membership, [], moved)
        except RetryLater:
            self._doubtful = True
            raise
        self._followed.update(moved)

    def publish(self, membership: Membership) -> int:
        """Publish what is pending for all owned numbers; how many rows.

        Raises Fenced when a number is not ours any more, in the log or in the store: nothing of it
        was published then. Raises RetryLater when it is not known whether it was: the log is asked
        before the next time.
        """
        total = 0
        if self._doubtful:
            self._published = {each: self._read_back(each) for each in self._published}
            self._doubtful = False
        while True:
            outputs, cursors, more = self._pending()
            if not outputs:
                return total
            if gone := self._store.overtaken() & cursors.keys():
                raise Fenced(f"{self._group}: numbers {sorted(gone)} were taken in the store")
            self._fail_points.reach("relay.before_commit")
            positions = self._log_positions(cursors)
            try:
                self._member.commit(membership, outputs, positions)
            except RetryLater:
                self._doubtful = True
                raise
            self._fail_points.reach("relay.after_commit")
            self._published.update(cursors)
            self._followed.update(positions)
            total += len(outputs)
            if not more:
                self._metrics.outbox_pending.set(0)
                return total

    def trim(self, unit: Unit, partitions: Iterable[int]) -> None:
        """Inside a unit: forget rows that are published."""
        for partition in partitions:
            published = self._published.get(partition, 0)
            if published > self._trimmed.get(partition, 0):
                unit.trim(partition, published)
                self._trimmed[partition] = published

    def _pending(self) -> tuple[list[Record], dict[int, int], bool]:
        """Records to publish now, how far they go by number, and whether there may be more."""
        newest = self._store.last_seqs()
        outputs: list[Record] = []
        cursors: dict[int, int] = {}
        size, full = 0, False
        for partition, published in self._published.items():
            if newest.get(partition, 0) <= published:
                continue
            for row in self._store.pending(partition, published, ROWS - len(outputs)):
                outputs.append(row.record)
                cursors[partition] = row.seq
                size += len(row.record.value or b"")
                if size > BYTES:
                    break
            full = len(outputs) >= ROWS or size > BYTES
            if full:
                break
        self._metrics.outbox_pending.set(len(outputs))
        return outputs, cursors, full

    def _log_positions(self, cursors: Mapping[int, int]) -> dict[TopicPartition, Position]:
        positions: dict[TopicPartition, Position] = {}
        for partition, seq in cursors.items():
            stored = self._store.positions(partition)
            cursor = f"{self._store.store_id}:{seq}"
            for topic in self._topics:
                place = TopicPartition(topic, partition)
                metadata = cursor if topic == self._topics[0] else ""
                if place in stored or metadata:
                    positions[place] = Position(stored.get(place, 0), metadata)
        return positions

    def _cursor_place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topics[0], partition)

    def _read_cursor(self, partition: int, metadata: str, newest: int) -> int:
        if not metadata:
            oldest = self._store.pending(partition, 0, 1)
            if newest and (not oldest or oldest[0].seq > 1):
                raise WrongStore(
                    f"{self._group}: the store has published for partition {partition}, the log "
                    "knows nothing of it: it is new or another one, or has forgotten this group, "
                    "which was stopped for long. See docs/how-to/restore.md"
                )
            return 0
        store_id, _, seq = metadata.rpartition(":")
        if store_id != self._store.store_id:
            raise WrongStore(
                f"{self._group}: partition {partition} was last published from another store: "
                "the store is new or was restored. See docs/how-to/restore.md"
            )
        if int(seq) > newest:
            raise WrongStore(
                f"{self._group}: partition {partition} was published up to {seq}, the store only "
                f"knows {newest}: the store is an older copy. See docs/how-to/restore.md"
            )
        return int(seq)
