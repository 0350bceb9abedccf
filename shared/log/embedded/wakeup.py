"""Waiting for another connection's commit: milliseconds when busy, nearly nothing when idle."""

from __future__ import annotations

import time

import apsw

SHORTEST = 0.001
LONGEST = 0.05


class Wakeup:
    """Watches `PRAGMA data_version`, which moves when another connection commits."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._seen = -1

    def changed(self) -> bool:
        """Whether another connection committed since the last call."""
        version = self._connection.pragma("data_version")
        moved = version != self._seen
        self._seen = version
        return bool(moved)

    def wait(self, until: float) -> bool:
        """Wait for a commit until `time.monotonic()` reaches `until`; False when none came."""
        pause = SHORTEST
        while True:
            if self.changed():
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST)
