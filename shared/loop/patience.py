"""Waiting for what all work hangs on, as a store that cannot be reached: pauses that grow, an end.

A stop is heard in the middle of a pause.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.errors import RetryLater

LONGEST_PAUSE = 5.0


class Patience:
    """Lasts for `seconds` from the first failure to the next success."""

    def __init__(
        self, seconds: float, stopping: threading.Event, notice: Callable[[RetryLater], None]
    ) -> None:
        """`notice` is told of every wait, before it begins."""
        self._seconds, self._stopping, self._notice = seconds, stopping, notice
        self._since: float | None = None
        self._pause = 0.0

    def over(self) -> None:
        """All is well again."""
        self._since = None

    def wait(self, error: RetryLater) -> None:
        """Pause. Raises RetryLater when it has lasted too long, or when we are told to stop."""
        now = time.monotonic()
        if self._since is None:
            self._since, self._pause = now, min(error.after_seconds, LONGEST_PAUSE)
        if now - self._since > self._seconds:
            raise RetryLater(f"tried for {self._seconds:.0f} s in vain: {error}") from error
        self._notice(error)
        if self._stopping.wait(self._pause):
            raise error
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def insist(self, step: Callable[[], None]) -> None:
        """Do it again and again until it is done."""
        while True:
            try:
                step()
            except RetryLater as error:
                self.wait(error)
            else:
                return
