"""Keeps the programme current: a thread that reads its topic to the end, again and again.

Clicks need it, and so does the forwarder. Trouble with the log is told and tried again; what is
known stays known meanwhile, also over a restart: what was read is kept on our own disk, and is
what people are answered by until the topic could be read in this life.
"""

from __future__ import annotations

import threading
from typing import Final

import apsw

from services.tracker.connecting import WaitForLog
from services.tracker.keeping import KeptProgramme
from services.tracker.programme import Programme
from shared.clock import Clock, boot_seconds, to_ms
from shared.errors import PositionOutsideLog, StorageFailed
from shared.log.record import Stored
from shared.log.table import Table
from shared.log.topics import PROGRAMME
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics

REFRESH_SECONDS: Final = 0.1
LONGEST_BACK_OFF: Final = 5.0
LOG_SECONDS: Final = 1.0
"""How long a turn waits for the log before it looks whether the service is stopping."""
STAMP_SECONDS: Final = 10.0
"""So often it is noted that nothing has changed; and so long a disk that took nothing is let be."""
OLD_SECONDS: Final = 30.0
STOP_SECONDS: Final = 5.0


class Following:
    """Follows the programme until stopped. Until it is started, it goes by what was kept."""

    def __init__(
        self,
        wait_for_log: WaitForLog,
        programme: Programme,
        kept: KeptProgramme,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._wait_for_log, self._programme, self._kept = wait_for_log, programme, kept
        self._clock = clock
        self._kept_as_of_ms = kept.as_of_ms()
        programme.replace(kept.records())
        self._table: Table | None = None
        self._changed: dict[bytes, Stored] = {}
        self._reading_anew = self._keeping_anew = True
        self._keep_next, self._unkept = 0.0, False
        metrics.table_age.labels("programme").set_function(self.age_seconds)
        self._current = threading.Condition()
        self._current_at = float("-inf")
        self._stopping = threading.Event()
        self._journal = Journal("tracker.following")
        self._thread = threading.Thread(target=self._run, name="programme", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ready(self) -> bool:
        """Whether there is a programme to go by: read in this life, or kept from an earlier one."""
        return self._kept_as_of_ms is not None or self.read()

    def read(self) -> bool:
        """Whether the programme was read to its high watermark once in this life."""
        return self._current_at > float("-inf")

    def alive(self) -> bool:
        """Whether the thread still turns."""
        return self._thread.is_alive()

    def age_seconds(self) -> float:
        """Since the programme was last known to be current; infinite when it never was."""
        if self.read():
            return boot_seconds() - self._current_at
        if self._kept_as_of_ms is None:
            return float("inf")
        return max(0, to_ms(self._clock.now()) - self._kept_as_of_ms) / 1000

    def word(self) -> str:
        """What a person should know of its age; empty while it is current."""
        if not self.ready() or (self.read() and self.age_seconds() <= OLD_SECONDS):
            return ""
        return (
            f"links lead where they led {_long(self.age_seconds())} ago: the log cannot be read "
            "since. Hits are kept, and forwarded when it can"
        )

    def wait_current(self, since_boot_seconds: float, timeout_seconds: float) -> bool:
        """Wait until all that was written before that moment is known; False when it took longer.

        `since_boot_seconds` is a reading of `shared.clock.boot_seconds`; 0: read in this life.
        """
        with self._current:
            return self._current.wait_for(
                lambda: self._current_at >= since_boot_seconds, timeout_seconds
            )

    def stop(self) -> None:
        """End. One that waits for brokers is left to end with the process."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            return
        if self._table is not None:
            self._table.close()
        self._kept.close()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = REFRESH_SECONDS if self._turn() else 0.0
            except PositionOutsideLog as error:
                self._journal.warning("tracker.programme_made_anew", reason=str(error))
                self._begin_anew()
                pause = REFRESH_SECONDS
            except Exception as error:  # noqa: BLE001 - a log that fails comes back, or ops sees it
                pause = min(max(pause, REFRESH_SECONDS) * 2, LONGEST_BACK_OFF)
                self._journal.failure("tracker.programme_unread", error)

    def _turn(self) -> bool:
        """Read to the end once; False when there was no log, after a while."""
        if self._table is None:
            log = self._wait_for_log(LOG_SECONDS)
            if log is None:
                return False
            self._table = Table(log.follow(PROGRAMME), self._take)
        began, as_of_ms = boot_seconds(), to_ms(self._clock.now())
        self._table.refresh()
        if self._reading_anew:
            self._programme.replace(self._changed.values())
            self._reading_anew = False
        with self._current:
            self._current_at = began
            self._current.notify_all()
        self._keep(as_of_ms)
        return True

    def _take(self, stored: Stored) -> None:
        """One change. While all is read anew, nobody is to see the programme of long ago again."""
        key = stored.key or b""
        self._changed.pop(key, None)  # so that what changed last comes last
        self._changed[key] = stored
        if not self._reading_anew:
            self._programme.apply(stored)

    def _begin_anew(self) -> None:
        """The topic is another one than it was: read it from the start."""
        if self._table is not None:
            self._table.close()
            self._table = None
        self._changed.clear()
        self._reading_anew = self._keeping_anew = True

    def _keep(self, as_of_ms: int) -> None:
        """Write down what changed; from time to time, that nothing did."""
        now = boot_seconds()
        due = bool(self._changed) and not self._unkept
        if not due and now < self._keep_next:
            return
        self._keep_next = now + STAMP_SECONDS
        try:
            self._kept.keep(self._changed.values(), as_of_ms=as_of_ms, whole=self._keeping_anew)
        except (StorageFailed, apsw.Error) as error:  # links are known all the same
            self._unkept = True
            self._journal.warning("tracker.programme_unkept", reason=str(error))
            return
        self._changed.clear()
        self._keeping_anew = self._unkept = False


def _long(seconds: float) -> str:
    """A time as people say it."""
    for length, name in ((3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
