"""Room on the disk: when a service warns, when it takes in no new work, and when it goes on.

Below the stop value nothing new is taken in, so that what is under way still has room to be written
down. It goes on by itself once there is a quarter more room than that. A disk that is really full
ends the service all the same (StorageFailed), with nothing lost.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import DiskSettings, Settings

LOOK_SECONDS: Final = 1.0
GO_ON_SHARE: Final = 1.25
MB: Final = 1_000_000


def free_bytes(folder: Path) -> int:
    """Room on the file system that holds a folder, or will hold it."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


class DiskWatch:
    """Asked at every turn, looks once a second. `needed` False: nothing of ours is written there.

    Safe from several threads.
    """

    def __init__(
        self,
        folder: Path,
        settings: DiskSettings,
        metrics: Metrics | None = None,
        *,
        needed: bool = True,
        free: Callable[[Path], int] = free_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._settings, self._metrics = folder, settings, metrics
        self._needed, self._free, self._clock = needed, free, clock
        self._journal = Journal("disk")
        self._lock = threading.Lock()
        self._next_look = 0.0
        self._warned = False
        self._word = ""

    def word(self) -> str:
        """Why no new work is taken in now; empty when it is."""
        if not self._needed:
            return ""
        with self._lock:
            now = self._clock()
            if now >= self._next_look:
                self._next_look = now + LOOK_SECONDS
                self._look(self._free(self._folder) // MB)
            return self._word

    def low(self) -> bool:
        """Whether no new work is taken in now."""
        return bool(self.word())

    def _look(self, free_mb: int) -> None:
        stop_mb, warn_mb = self._settings.stop_mb, self._settings.warn_mb
        was = bool(self._word)
        if free_mb < stop_mb or (was and free_mb < stop_mb * GO_ON_SHARE):
            self._word = (
                f"the disk of {self._folder} has {free_mb} MB left, the floor is {stop_mb} MB: "
                "nothing new is taken in. Make room; it goes on by itself"
            )
        else:
            self._word = ""
        if self._metrics is not None:
            self._metrics.disk_stopped.set(int(bool(self._word)))
        if self._word and not was:
            self._journal.error("disk.stopped", reason=self._word)
        elif was and not self._word:
            self._journal.info("disk.goes_on", free_mb=free_mb)
        if not self._warned and free_mb < warn_mb:
            self._journal.warning("disk.low", free_mb=free_mb, warn_mb=warn_mb, stop_mb=stop_mb)
        self._warned = free_mb < warn_mb


def watch(settings: Settings, metrics: Metrics, *, store: bool) -> DiskWatch:
    """The watch of a service: of home, where its log or its store (`store`: it has one) is."""
    needed = settings.log == "embedded" or (store and not settings.postgres_dsn())
    return DiskWatch(settings.home, settings.disk, metrics, needed=needed)
