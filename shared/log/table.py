"""A compacted topic read as a table: whole, to the high watermark, then followed.

Without a group: every instance reads all of it. A table knows how old its newest proof of being
current is, and the sender refuses to call SES on an old one.
"""

from __future__ import annotations

from collections.abc import Callable

from shared.clock import boot_seconds
from shared.errors import RetryLater
from shared.log.port import Follower
from shared.log.record import Stored

READ_SECONDS = 0.05
"""How long one look waits for what the high watermark promises: it may still be committing."""
STALLED_SECONDS = 30.0
"""Without a step forward for so long, the brokers have gone in the middle. Longer than a
transaction that a dead process left open is in the way: 15 s, looked for every 10 s."""


class Table:
    """Feeds every change, tombstones included, to `apply`, oldest first within a partition."""

    def __init__(self, follower: Follower, apply: Callable[[Stored], None]) -> None:
        self._follower, self._apply = follower, apply
        self._current_at: float | None = None
        self._untold = 0

    def refresh(self) -> int:
        """Read up to the high watermark seen at the call; how many changes there were.

        Raises RetryLater when reading stands still short of it. The next call goes on from there,
        and counts what was applied before it failed.
        """
        began = moved_at = boot_seconds()
        ends = self._follower.end_offsets()
        stood = self._follower.next_offsets()
        while _behind(stood, ends):
            for stored in self._follower.read(timeout_seconds=READ_SECONDS):
                self._apply(stored)
                self._untold += 1
            now, stands = boot_seconds(), self._follower.next_offsets()
            if stands != stood:
                moved_at, stood = now, stands
            elif now - moved_at > STALLED_SECONDS:
                raise RetryLater(
                    f"a table could not be read to its end: for {STALLED_SECONDS:.0f} s nothing "
                    f"came after {_first_behind(stood, ends)}. Do the brokers answer?"
                )
        changes, self._untold = self._untold, 0
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


def _behind(positions: dict[int, int], ends: dict[int, int]) -> bool:
    return any(positions.get(partition, 0) < end for partition, end in ends.items())


def _first_behind(positions: dict[int, int], ends: dict[int, int]) -> str:
    """A place short of its end, for the person who reads it."""
    number = min(number for number, end in ends.items() if positions.get(number, 0) < end)
    return f"offset {positions.get(number, 0)} of {ends[number]} in partition {number}"
