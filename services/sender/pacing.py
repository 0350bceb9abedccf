"""Pacing: a token bucket whose rate falls when SES says "too fast" and recovers step by step.

Pure state: time comes in as an argument. Rate in messages a second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BURST_SECONDS = 0.25
DECREASE = 0.7
RECOVERY_PER_SECOND = 0.02
FLOOR = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """`ceiling` is the rate allowed at best, `rate` the one in force, `tokens` what may go now."""

    ceiling: float
    rate: float
    tokens: float
    at: float

    @classmethod
    def start(cls, ceiling: float, now: float) -> Pace:
        """A full bucket at `now` (seconds on any steady clock)."""
        return cls(ceiling, ceiling, max(1.0, ceiling * BURST_SECONDS), now)


def refill(pace: Pace, now: float) -> Pace:
    """Tokens and recovery for the time since the last look."""
    passed = max(0.0, now - pace.at)
    rate = min(pace.ceiling, pace.rate + pace.ceiling * RECOVERY_PER_SECOND * passed)
    most = max(1.0, rate * BURST_SECONDS)
    return replace(pace, rate=rate, tokens=min(most, pace.tokens + rate * passed), at=now)


def take(pace: Pace, wanted: int, now: float) -> tuple[Pace, int]:
    """Take up to `wanted` whole tokens; how many were there."""
    pace = refill(pace, now)
    granted = min(wanted, int(pace.tokens))
    return replace(pace, tokens=pace.tokens - granted), granted


def give_back(pace: Pace, unused: int) -> Pace:
    """Tokens that were taken and not used."""
    return replace(pace, tokens=pace.tokens + unused)


def slow_down(pace: Pace, now: float) -> Pace:
    """SES said "too fast": cut the rate, empty the bucket."""
    pace = refill(pace, now)
    return replace(pace, rate=max(FLOOR, pace.rate * DECREASE), tokens=0.0)
