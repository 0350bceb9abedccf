"""A compacted topic read as a table: whole, to the high watermark, then followed.

Without a group: every instance reads all of it. A table knows how old its newest proof of being
current is, and the sender refuses to call SES on an old one.
"""

from __future__ import annotations

from collections.abc import Callable

from shared.clock import boot_seconds
from shared.log.port import Follower
from shared.log.record import Stored

READ_SECONDS = 0.05
"""How long one look waits for what the high watermark promises: it may still be committing."""


class Table:
    """Feeds every change, tombstones included, to `apply`, oldest first within a partition."""

    def __init__(self, follower: Follower, apply: Callable[[Stored], None]) -> None:
        self._follower, self._apply = follower, apply
        self._current_at: float | None = None

    def refresh(self) -> int:
        """Read up to the high watermark seen at the call; how many changes there were."""
        began = boot_seconds()
        ends = self._follower.end_offsets()
        changes = 0
        while self._behind(ends):
            for stored in self._follower.read(timeout_seconds=READ_SECONDS):
                self._apply(stored)
                changes += 1
        self._current_at = began
        return changes

    @property
    def age_seconds(self) -> float:
        """Seconds since the table was last known to be current; infinite before the first time."""
        if self._current_at is None:
            return float("inf")
        return boot_seconds() - self._current_at

    def close(self) -> None:
        self._follower.close()

    def _behind(self, ends: dict[int, int]) -> bool:
        positions = self._follower.next_offsets()
        return any(positions.get(partition, 0) < end for partition, end in ends.items())
