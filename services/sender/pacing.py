"""Pacing: a token bucket whose rate falls when SES says "too fast" and recovers step by step.

Pure state: time comes in as an argument. Rate in messages a second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BURST_SECONDS = 0.25
DECREASE = 0.7
RECOVERY_PER_SECOND = 0.02
FLOOR = 0.5
ONE_CUT_SECONDS = 0.25
"""The answers of one window say the same thing: they cut the rate once."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """`ceiling` is the rate allowed at best, `rate` the one in force, `tokens` what may go now."""

    ceiling: float
    rate: float
    tokens: float
    at: float
    slowed_at: float

    @classmethod
    def start(cls, ceiling: float, now: float) -> Bucket:
        """A full bucket at `now` (seconds on any steady clock)."""
        return cls(ceiling, ceiling, max(1.0, ceiling * BURST_SECONDS), now, now - ONE_CUT_SECONDS)


def limited(bucket: Bucket, ceiling: float) -> Bucket:
    """The bucket under another ceiling; a higher one is reached step by step."""
    return replace(bucket, ceiling=ceiling)


def refill(bucket: Bucket, now: float) -> Bucket:
    """Tokens and recovery for the time since the last look."""
    passed = max(0.0, now - bucket.at)
    rate = min(bucket.ceiling, bucket.rate + bucket.ceiling * RECOVERY_PER_SECOND * passed)
    most = max(1.0, rate * BURST_SECONDS)
    tokens = min(most, bucket.tokens + rate * passed)
    return replace(bucket, rate=rate, tokens=tokens, at=max(now, bucket.at))


def take(bucket: Bucket, wanted: int, now: float) -> tuple[Bucket, int]:
    """Take up to `wanted` whole tokens; how many were there."""
    bucket = refill(bucket, now)
    granted = min(wanted, int(bucket.tokens))
    return replace(bucket, tokens=bucket.tokens - granted), granted


def give_back(bucket: Bucket, unused: int) -> Bucket:
    """Tokens that were taken and not used."""
    return replace(bucket, tokens=bucket.tokens + unused)


def slow_down(bucket: Bucket, now: float) -> Bucket:
    """SES said "too fast": cut the rate, empty the bucket."""
    bucket = refill(bucket, now)
    if bucket.at - bucket.slowed_at < ONE_CUT_SECONDS:
        return replace(bucket, tokens=0.0)
    rate = max(FLOOR, bucket.rate * DECREASE)
    return replace(bucket, rate=rate, tokens=0.0, slowed_at=bucket.at)
