"""Where the loop's time goes. The phases add up: entering one ends the one before."""

from __future__ import annotations

import time
from typing import Literal, get_args

from prometheus_client import Counter

Phase = Literal[
    "poll",  # waiting for records
    "handle",  # taking up partitions, decoding, deciding
    "commit",  # the end of a transaction: of the store, or of the log where there is no store
    "tick",  # what time alone makes due
    "publish",  # from the outbox to the log
]


class Phases:
    """Used by the loop's thread and what it calls."""

    def __init__(self, seconds: Counter) -> None:
        self._seconds = {phase: seconds.labels(phase) for phase in get_args(Phase)}
        self._phase: Phase | None = None
        self._since = 0.0

    def enter(self, phase: Phase | None) -> None:
        """Time is spent on this from now on; None: on nothing that is counted."""
        now = time.monotonic()
        if self._phase is not None:
            self._seconds[self._phase].inc(now - self._since)
        self._phase, self._since = phase, now
