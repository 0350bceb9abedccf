"""Room for an import: where the log is a file of this machine, it must not fill the disk."""

from __future__ import annotations

from collections.abc import Callable

from shared.errors import RetryLater
from shared.observability.disk import DiskWatch
from shared.settings import Settings


class Room:
    """Asked before an import and between its parts."""

    def __init__(self, settings: Settings) -> None:
        self._watch = DiskWatch(settings.home, settings.disk, needed=settings.log == "embedded")

    def check(self) -> None:
        """Raises RetryLater when there is too little; what was imported before it is."""
        if word := self._watch.word():
            raise RetryLater(f"{word}, when the import is run again: nothing is imported twice")

    def before(self, step: Callable[[int], None]) -> Callable[[int], None]:
        """`step`, with a look before each."""

        def checked(rows: int) -> None:
            self.check()
            step(rows)

        return checked
