"""Wiring of the renderer."""

from __future__ import annotations

import sys
import threading
from datetime import datetime

from services.renderer.book import Book
from services.renderer.handler import Renderer
from services.renderer.preparing import Preparer
from services.renderer.questions import Questions
from services.renderer.rendering import Signing
from shared.clock import SystemClock
from shared.log.opening import open_log
from shared.log.table import Table
from shared.log.topics import AUDIENCE, PROGRAMME
from shared.loop.loop import Loop
from shared.loop.process import run_service
from shared.loop.work import StatelessWork
from shared.observability.admin import AdminServer
from shared.observability.disk import watch
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import Settings
from shared.token_keys import TokenKeys

GROUP = "renderer"


class RendererService:
    """The wired service."""

    def __init__(self, settings: Settings) -> None:
        clock, metrics = SystemClock(), Metrics(GROUP)
        metrics.partitions.set(settings.partitions)
        metrics.watch_disk(settings.home)
        disk = watch(settings, metrics, store=False)
        self._log = open_log(settings)
        self._book, self._lock = Book(), threading.Lock()
        self._table = Table(self._log.follow(PROGRAMME), self._book.apply)
        self._keys, self._tracking_url = TokenKeys(settings), settings.tracking_url
        handler = Renderer(Preparer(self._book), self._signing, clock, metrics)
        member = self._log.join(GROUP, (AUDIENCE,), lease_seconds=settings.loop.lease_seconds)
        work = StatelessWork(GROUP, member, handler, clock, FailPoints(settings.fail_at), metrics)
        # One audience batch is hundreds of mails: a few at a time keep memory and commits small.
        loop_settings = settings.loop.model_copy(update={"max_records": 4})
        self._loop = Loop(
            GROUP, (AUDIENCE,), member, work, loop_settings, clock, metrics,
            before_turn=self._refresh, held=disk.low,
        )  # fmt: skip
        self._admin = AdminServer(
            settings.admin_host, settings.renderer.port, metrics,
            healthy=self._loop.healthy, ready=self._loop.ready, why_not=disk.word,
            questions=Questions(
                self._book, self._lock, self._refresh, self._signing, clock
            ).routes(),
        )  # fmt: skip

    def run(self) -> None:
        self._refresh()
        self._admin.start()
        try:
            self._loop.run()
        finally:
            self._admin.stop()
            self._table.close()
            self._log.close()

    def stop(self) -> None:
        self._loop.stop()

    def _refresh(self) -> None:
        with self._lock:
            self._table.refresh()

    def _signing(self, now: datetime) -> Signing:
        key_id, key = self._keys.signing(now)
        return Signing(self._tracking_url, key_id, key)


if __name__ == "__main__":
    sys.exit(run_service(GROUP, RendererService))
