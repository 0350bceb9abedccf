"""Keeps the programme current: a thread that reads its topic to the end, again and again.

Clicks need it, and so does the forwarder. Trouble with the log is told and tried again; what is
known stays known meanwhile.
"""

from __future__ import annotations

import threading
from typing import Final

from services.tracker.programme import Programme
from shared.clock import boot_seconds
from shared.log.port import Log
from shared.log.table import Table
from shared.log.topics import PROGRAMME
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics

REFRESH_SECONDS: Final = 0.1
LONGEST_BACK_OFF: Final = 5.0


class Following:
    """Follows the programme until stopped."""

    def __init__(self, log: Log, programme: Programme, metrics: Metrics) -> None:
        self._table = Table(log.follow(PROGRAMME), programme.apply)
        metrics.table_age.labels("programme").set_function(lambda: self._table.age_seconds)
        self._current = threading.Condition()
        self._current_at = float("-inf")
        self._stopping = threading.Event()
        self._journal = Journal("tracker.following")
        self._thread = threading.Thread(target=self._run, name="programme", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ready(self) -> bool:
        """Whether the programme was read to its high watermark once."""
        return self._current_at > float("-inf")

    def alive(self) -> bool:
        """Whether the thread still turns."""
        return self._thread.is_alive()

    def wait_current(self, since_boot_seconds: float, timeout_seconds: float) -> bool:
        """Wait until all that was written before that moment is known; False when it took longer.

        `since_boot_seconds` is a reading of `shared.clock.boot_seconds`.
        """
        with self._current:
            return self._current.wait_for(
                lambda: self._current_at >= since_boot_seconds, timeout_seconds
            )

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._table.close()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            began = boot_seconds()
            try:
                self._table.refresh()
            except Exception as error:  # noqa: BLE001 - a log that fails comes back, or ops sees it
                pause = min(max(pause, REFRESH_SECONDS) * 2, LONGEST_BACK_OFF)
                self._journal.failure("tracker.programme_unread", error)
                continue
            pause = REFRESH_SECONDS
            with self._current:
                self._current_at = began
                self._current.notify_all()
