"""Opens the log in the background, as long as that takes: nobody who clicks waits for a broker.

A tracker may be started while every broker is away, and answers all the same. Who needs the log
waits for it here. What only a person can mend ends the tracker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from shared.errors import DoorstepError, RetryLater
from shared.log.port import Log
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0

WaitForLog = Callable[[float], Log | None]
"""See `Connecting.log`."""


class Connecting:
    """Tries until there is a log, or until it is closed."""

    def __init__(
        self,
        open_once: Callable[[], Log],
        metrics: Metrics,
        on_failure: Callable[[DoorstepError], None],
    ) -> None:
        """`open_once` raises RetryLater when no broker answers."""
        self._open_once, self._metrics, self._on_failure = open_once, metrics, on_failure
        self._log: Log | None = None
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._journal = Journal("tracker.connecting")
        self._thread = threading.Thread(target=self._run, name="connecting", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def log(self, within_seconds: float) -> Log | None:
        """The log; None when it could not be opened within that time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._log is not None or self._closed.is_set(), within_seconds
            )
            return self._log

    def close(self) -> None:
        """Let go of the log. An attempt under way is not waited for: it lasts as long as a client
        looks for brokers, and ends with the process.
        """
        with self._changed:
            self._closed.set()
            log, self._log = self._log, None
            self._changed.notify_all()
        if log is not None:
            log.close()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                self._give(self._open_once())
                return
            except RetryLater as error:
                self._metrics.log_unopened.inc()
                self._journal.warning("tracker.log_unopened", reason=str(error))
            except DoorstepError as error:
                self._on_failure(error)
                return
            except Exception as error:  # noqa: BLE001 - the service must hear that it has no log
                self._journal.failure("tracker.log_broken", error)
                said = f"the log cannot be opened: {type(error).__name__}: {error}"
                self._on_failure(DoorstepError(said))
                return
            self._closed.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _give(self, log: Log) -> None:
        with self._changed:
            if not self._closed.is_set():
                self._log = log
                self._changed.notify_all()
                return
        log.close()
