"""Time to spare before deadlines: an estimate, for people and for an alert. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf


def slack_seconds(
    waiting: Iterable[tuple[int, int]], *, now_ms: int, margin_ms: int, rate: float
) -> float:
    """The least time to spare of any deadline, in seconds; infinite when nothing waits for one.

    `waiting`: a deadline and how many messages wait for it. What is due first is taken to go first,
    at `rate` messages a second; below nought, some will expire even then.
    """
    least, ahead = inf, 0
    for deadline_ms, messages in sorted(waiting):
        ahead += messages
        left_seconds = (deadline_ms - margin_ms - now_ms) / 1000
        least = min(least, left_seconds - ahead / rate)
    return least
