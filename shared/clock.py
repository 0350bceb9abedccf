"""Time as an object.

Decisions take `now` as an argument; only composition roots hold a `Clock`. Two clocks matter:
the wall clock (what people and SES mean by a time) and the boot clock, which goes on while a
process is frozen or the machine sleeps, so that a thawed process knows how long it was away.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The wall clock, timezone-aware, UTC."""
        ...

    def now_ms(self) -> int:
        """The same as `to_ms(now())`, for who asks with every hit."""
        ...

    def boot_seconds(self) -> float:
        """Seconds on a clock that never stops or steps, suspend included; no epoch."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def boot_seconds(self) -> float:
        return boot_seconds()


if hasattr(time, "CLOCK_BOOTTIME"):

    def boot_seconds() -> float:
        """Seconds since boot, counting suspend (Linux CLOCK_BOOTTIME)."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # pragma: no cover - macOS: CLOCK_MONOTONIC counts suspend there

    def boot_seconds() -> float:
        """Seconds since boot; macOS has no CLOCK_BOOTTIME, its monotonic clock serves."""
        return time.monotonic()


class FixedClock:
    """A clock that stands still until told otherwise; for tests and replays."""

    def __init__(self, at: datetime) -> None:
        self._now = at
        self._boot = 1_000.0

    def now(self) -> datetime:
        return self._now

    def now_ms(self) -> int:
        return to_ms(self._now)

    def boot_seconds(self) -> float:
        return self._boot

    def advance(self, seconds: float) -> None:
        """Move both clocks on by `seconds`."""
        self._now = datetime.fromtimestamp(self._now.timestamp() + seconds, UTC)
        self._boot += seconds


def to_ms(at: datetime) -> int:
    """Milliseconds since the epoch, as records and stores keep a time."""
    return int(at.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """The inverse of `to_ms`, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
