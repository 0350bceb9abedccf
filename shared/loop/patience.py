"""Waiting for what all work hangs on, as a store that cannot be reached: pauses that grow, an end.

A stop is heard in the middle of a pause.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.errors import Conflict, RetryLater, StoreRefuses

LONGEST_PAUSE = 5.0
MOST_CONFLICTS = 3


class Conflicts:
    """How often in a row a unique index has refused the same work. Races of instances end after
    one or two; what goes on has no other end.
    """

    def __init__(self) -> None:
        self._in_a_row = 0

    def over(self) -> None:
        """It went in."""
        self._in_a_row = 0

    def note(self, error: RetryLater) -> None:
        """Raises StoreRefuses when it has been too often."""
        if not isinstance(error, Conflict):
            return
        self._in_a_row += 1
        if self._in_a_row > MOST_CONFLICTS:
            raise StoreRefuses(
                f"refused {self._in_a_row} times in a row, no other instance can be the cause: "
                f"{error}"
            ) from error


class Patience:
    """Lasts for `seconds` from the first failure to the next success."""

    def __init__(
        self, seconds: float, stopping: threading.Event, notice: Callable[[RetryLater], None]
    ) -> None:
        """`notice` is told of every wait, before it begins."""
        self._seconds, self._stopping, self._notice = seconds, stopping, notice
        self._since: float | None = None
        self._pause = 0.0
        self._conflicts = Conflicts()

    def over(self) -> None:
        """All is well again."""
        self._since = None
        self._conflicts.over()

    def wait(self, error: RetryLater) -> None:
        """Pause. Raises RetryLater when it has lasted too long, or when we are told to stop;
        StoreRefuses when no pause will help.
        """
        self._conflicts.note(error)
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
