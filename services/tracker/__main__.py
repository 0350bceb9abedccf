"""Wiring of the tracker: what is connected to what, and in which order it starts and stops."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.tracker.application import application
from services.tracker.certificates import Certificates
from services.tracker.connecting import Connecting
from services.tracker.facts import Making
from services.tracker.following import Following
from services.tracker.forwarding import GROUP, Forwarder, adopt
from services.tracker.intake import Intake
from services.tracker.keeping import KeptProgramme
from services.tracker.programme import Programme
from services.tracker.server import HttpServer
from services.tracker.spool import Spool, SpoolReader
from services.tracker.webhooks import Webhooks
from shared.clock import SystemClock
from shared.errors import DoorstepError
from shared.log.opening import open_log
from shared.log.port import Publisher
from shared.loop.process import run_service
from shared.observability.disk import DiskWatch
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import Settings
from shared.token_keys import TokenKeys

if TYPE_CHECKING:
    from services.tracker.event_queue import EventQueue

DRAIN_SECONDS: Final = 15.0
LOG_SECONDS: Final = 3.0
"""How long a start waits for the log, and then for the programme, before it answers without: so
that what only a person can mend is told first. Who connects meanwhile waits and is not refused."""
PUBLISHER_SECONDS: Final = 1.0
"""How long the forwarder waits for the log before it looks whether the service is stopping."""
ADOPT: Final = "--adopt-spool"


def name_of(settings: Settings) -> str:
    """What this tracker is called: each has a spool of its own, and a cursor of its own."""
    return f"{GROUP}-{settings.instance}" if settings.instance else GROUP


def spool_path(settings: Settings) -> Path:
    return settings.home / name_of(settings) / "spool.db"


def programme_path(settings: Settings) -> Path:
    return settings.home / name_of(settings) / "programme.db"


def log_source(settings: Settings) -> str:
    """Which log a programme was kept of. Brokers may move, and must not cost us what we know."""
    return settings.log if settings.log == "embedded" else f"Kafka, {settings.kafka.prefix!r}"


class Tracker:
    """The wired service."""

    def __init__(self, settings: Settings) -> None:
        """Raises Misconfigured before anything is answered."""
        own, clock = settings.tracker, SystemClock()
        self._metrics = Metrics(GROUP)
        self._metrics.watch_disk(settings.home)
        self._journal = Journal("tracker")
        self._ending = threading.Event()
        self._failure: DoorstepError | None = None
        self._name = name_of(settings)
        fail_points, programme = FailPoints(settings.fail_at), Programme()
        secret = settings.identity_secret()
        self._server = HttpServer(own.host, own.port, own.own_port)
        path = spool_path(settings)
        disk = DiskWatch(settings.home, settings.disk, self._metrics)
        self._spool = Spool(path, fail_points, full=disk.word)
        self._connecting = Connecting(
            lambda: open_log(settings, wait_seconds=0.0), self._metrics, self._fail
        )
        kept = KeptProgramme(programme_path(settings), log_source(settings))
        self._following = Following(self._connecting.log, programme, kept, clock, self._metrics)
        self._forwarder = Forwarder(
            SpoolReader(path),
            self._open_publisher,
            Making(programme.mailing_of, settings.partitions, secret),
            wait_current=self._following.wait_current,
            clock=clock,
            fail_points=fail_points,
            metrics=self._metrics,
            on_failure=self._fail,
            people_wait=self._spool.busy,
            urgent=self._spool.take_urgent,
        )
        self._queue = self._event_queue(settings, clock, fail_points)
        self._webhooks = Webhooks(
            self._connecting.log, programme, settings.webhook_keys(), settings.loop, clock,
            fail_points, self._metrics,
        )  # fmt: skip
        self._application = application(
            Intake(self._spool, programme, TokenKeys(settings), clock, self._metrics),
            settings,
            Certificates(own.certificates),
            programme_ready=self._following.read,
            healthy=self._healthy,
            ready=self._ready,
            beside=lambda: "; ".join(filter(None, (disk.word(), self._following.word()))),
        )

    def run(self) -> None:
        """Serve until stopped. Raises the reason when it had to end by itself.

        A log that cannot be had now is waited for while people are answered.

        Shutdown in order: 1. take no more requests, answer those in hand, and nothing more from the
        queue; 2. commit what waits for
        the spool; 3. forward what is in it, as far as that goes within the deadline, and say what
        is left: it stays durable for the next start; 4. let go of the log.
        """
        self._connecting.start()
        self._following.start()
        self._forwarder.start()
        if self._queue is not None:
            self._queue.start()
        self._webhooks.start()
        try:
            if self._forwarder.wait_open(LOG_SECONDS) and not self._ending.is_set():
                self._following.wait_current(0.0, LOG_SECONDS)
            if not self._ending.is_set():
                self._server.start(self._application)
                self._journal.info(
                    "tracker.listening", port=self._server.port, own_port=self._server.own_port
                )
            while not self._ending.wait(1.0) and self._server.alive():
                continue
        finally:
            self._server.stop()
            if self._queue is not None:
                self._queue.stop()
            self._spool.close()
            self._webhooks.stop()
            left = self._forwarder.stop(within_seconds=DRAIN_SECONDS)
            self._journal.info("tracker.drained", left=left)
            self._following.stop()
            self._connecting.close()
        if self._failure is not None:
            raise self._failure
        if not self._ending.is_set():
            raise DoorstepError("tracker: the HTTP server ended by itself; its log says why")

    def stop(self) -> None:
        self._ending.set()

    def _fail(self, error: DoorstepError) -> None:
        """End, for this reason: the first that is told."""
        self._failure = self._failure or error
        self._ending.set()

    def _open_publisher(self) -> Publisher | None:
        log = self._connecting.log(PUBLISHER_SECONDS)
        return None if log is None else log.publisher(self._name)

    def _event_queue(
        self, settings: Settings, clock: SystemClock, fail_points: FailPoints
    ) -> EventQueue | None:
        if not settings.tracker.queue_url:
            return None
        # boto3 costs 30 MB, and who has no queue needs none of it.
        from services.tracker.event_queue import EventQueue  # noqa: PLC0415

        return EventQueue(settings.tracker, self._spool, clock, self._metrics, fail_points)

    def _healthy(self) -> bool:
        return self._working() and (self._queue is None or self._queue.alive())

    def _working(self) -> bool:
        return self._spool.alive() and self._forwarder.alive() and self._following.alive()

    def _ready(self) -> bool:
        # A full disk does not make it unready: links still lead where they should.
        return self._healthy() and self._following.ready()


class Adoption:
    """`--adopt-spool`: let this spool and the log belong together, and end."""

    def __init__(self, settings: Settings) -> None:
        self._log = open_log(settings)
        self._name, path = name_of(settings), spool_path(settings)
        self._spool = Spool(path, FailPoints(""))
        self._reader = SpoolReader(path)

    def run(self) -> None:
        publisher = self._log.publisher(self._name)
        adopt(self._reader, publisher)
        Journal("tracker").info("tracker.spool_adopted", spool=self._reader.spool_id)
        publisher.close()
        self._reader.close()
        self._spool.close()
        self._log.close()

    def stop(self) -> None:
        """It is over before it could be stopped."""


def main(arguments: list[str]) -> int:
    """The exit code."""
    if arguments not in ([], [ADOPT]):
        print(f"usage: python -m services.tracker [{ADOPT}]", file=sys.stderr)
        return 64
    wire: Callable[[Settings], Tracker | Adoption] = Adoption if arguments else Tracker
    return run_service(GROUP, wire)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
