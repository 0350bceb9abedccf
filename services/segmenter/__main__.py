"""Wiring of the segmenter: what is connected to what, and in which order it starts and stops."""

from __future__ import annotations

import sys

from services.segmenter.handler import Segmenter
from services.segmenter.people.handler import People
from services.segmenter.people.hits import Patience
from services.segmenter.people.places.areas import Resolver
from services.segmenter.people.places.coordinates import GridReader
from services.segmenter.people.places.directory import Directory
from services.segmenter.people.schema import POSTGRES_DDL
from services.segmenter.people.suppressions import Suppressions
from services.segmenter.questions import Questions
from services.segmenter.schema import DDL
from services.segmenter.sends.programme import ProgrammeView
from services.segmenter.sends.sends import Sends
from shared.clock import SystemClock
from shared.log.housekeeping import Housekeeping
from shared.log.opening import open_log
from shared.log.record import Stored
from shared.log.table import Table
from shared.log.topics import CONTROL, EVENTS, PROGRAMME, SUPPORTERS, SUPPRESSIONS
from shared.loop.loop import Loop
from shared.loop.process import run_service
from shared.loop.relay import Relay
from shared.loop.work import StatefulWork
from shared.observability.admin import AdminServer
from shared.observability.disk import watch
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import Settings
from shared.store.database import dialect_of
from shared.store.opening import open_store

GROUP = "segmenter"
INPUTS = (SUPPORTERS, EVENTS, CONTROL)


class SegmenterService:
    """The wired service."""

    def __init__(self, settings: Settings) -> None:
        clock, metrics = SystemClock(), Metrics(GROUP)
        metrics.partitions.set(settings.partitions)
        metrics.watch_disk(settings.home)
        disk = watch(settings, metrics, store=True)
        fail_points = FailPoints(settings.fail_at)
        self._log = open_log(settings)
        store = self._store = open_store(
            settings, GROUP, "people.db", DDL,
            postgres_ddl=POSTGRES_DDL, synchronous="FULL", cache_mb=256,
        )  # fmt: skip
        self._housekeeping = Housekeeping(self._log, clock)
        programme = ProgrammeView()
        places = Resolver(
            Directory.open(settings.postcodes or settings.home / "postcodes"), GridReader()
        )
        own = settings.segmenter
        patience = Patience(int(own.hit_seconds * 1000), int(own.doubtful_hit_seconds * 1000))
        people = People(places, settings.identity_secret(), settings.partitions, clock, patience)
        sends = Sends(
            store, programme, settings.partitions, settings.segmenter.wave_recipients,
            self._log.end_offsets, fail_points, metrics,
        )  # fmt: skip
        self._programme = Table(self._log.follow(PROGRAMME), programme.apply)
        withdrawals = self._log.follow(SUPPRESSIONS)
        self._suppressions = Suppressions(store, withdrawals.end_offsets)
        handler = self._handler = Segmenter(
            store, people, sends, programme, clock, settings.segmenter.sweep_seconds, metrics,
            (programme.unreadable, self._suppressions.unreadable), held=disk.low,
        )  # fmt: skip
        self._withdrawn: list[Stored] = []
        self._withdrawals = Table(withdrawals, self._withdrawn.append)
        member = self._log.join(GROUP, INPUTS, lease_seconds=settings.loop.lease_seconds)
        relay = Relay(GROUP, INPUTS, member, store, fail_points, metrics)
        work = StatefulWork(
            GROUP, INPUTS, member, store, handler, relay, clock, fail_points, metrics
        )
        self._loop = Loop(
            GROUP, INPUTS, member, work, settings.loop, clock, metrics,
            before_turn=self._before_turn, rewind=work.rewind, held=disk.low,
        )  # fmt: skip
        # A SQLite store is of one instance alone: whatever is in it, that one speaks for.
        alone = dialect_of(store.connection) == "sqlite"
        everything = frozenset(range(settings.partitions))
        self._reader = store.reader()
        questions = Questions(
            self._reader, programme, (lambda: everything) if alone else store.owned,
            settings.partitions, clock,
        )  # fmt: skip
        self._admin = AdminServer(
            settings.admin_host, settings.segmenter.port, metrics,
            healthy=self._loop.healthy, ready=self._loop.ready, why_not=disk.word,
            questions=questions.routes(),
        )  # fmt: skip

    def run(self) -> None:
        self._refresh()
        self._suppressions.caught_up()
        self._admin.start()
        try:
            self._loop.run()
        finally:
            self._admin.stop()
            self._programme.close()
            self._withdrawals.close()
            self._log.close()
            self._reader.close()
            self._store.close()

    def stop(self) -> None:
        self._loop.stop()

    def _before_turn(self) -> None:
        self._housekeeping()
        self._refresh()

    def _refresh(self) -> None:
        """Both tables to their ends; withdrawals of a turn together, kept until they are stored."""
        self._programme.refresh()
        self._handler.programme_read()
        self._withdrawals.refresh()
        if self._withdrawn:
            self._suppressions.apply_all(self._withdrawn)
            self._withdrawn.clear()


if __name__ == "__main__":
    sys.exit(run_service(GROUP, SegmenterService))
