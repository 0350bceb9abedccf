"""Lets a log remove what its retention lets go, now and then.

Brokers do that by themselves. For the embedded log the segmenter does, of which one always runs.
"""

from __future__ import annotations

import time
from typing import Final

from shared.clock import Clock, to_ms
from shared.log.port import Log
from shared.observability.logs import Journal

EVERY_SECONDS: Final = 60.0


class Housekeeping:
    """Called every turn of a loop."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log, self._clock, self._next = log, clock, 0.0
        self._journal = Journal("log")

    def __call__(self) -> None:
        """Remove what is due, once a minute."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        if removed := self._log.maintain(to_ms(self._clock.now())):
            self._journal.info("log.retention", removed=removed)
