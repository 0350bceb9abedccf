"""Wiring of the sender: what is connected to what, and in which order it starts and stops."""

from __future__ import annotations

import sys

from services.sender.beginning import refuse_to_begin_anew
from services.sender.dispatch import Dispatcher
from services.sender.forgetting import Forgetting
from services.sender.intake import Intake, ignored
from services.sender.last_look import Orders
from services.sender.pace import OwnPace, SharedPace
from services.sender.questions import Questions
from services.sender.schema import LEDGER_DDL
from services.sender.seed_mails import SeedMails
from services.sender.ses_gateway import SesGateway
from services.sender.tables import SenderTables
from services.sender.upkeep import Upkeep
from shared.clock import SystemClock
from shared.log.opening import open_log
from shared.log.topics import EVENTS, MESSAGES
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

GROUP = "sender"
INPUTS = (MESSAGES, EVENTS)


class Sender:
    """The wired service."""

    def __init__(self, settings: Settings) -> None:
        clock, metrics = SystemClock(), Metrics(GROUP)
        metrics.partitions.set(settings.partitions)
        metrics.watch_disk(settings.home)
        disk = watch(settings, metrics, store=True)
        fail_points = FailPoints(settings.fail_at)
        own = settings.sender
        own.check_settle_window()
        self._log = open_log(settings)
        self._store = open_store(settings, GROUP, "ledger.db", LEDGER_DDL)
        refuse_to_begin_anew(self._store, self._log)
        dispatching = self._store.sibling()
        shared = dialect_of(dispatching.connection) == "postgres"
        pace = (
            SharedPace(dispatching.connection, own.rate, clock)
            if shared
            else OwnPace(own.rate, clock)
        )
        self._gateway = SesGateway(
            region=own.region,
            endpoint=own.ses_endpoint,
            connections=own.window,
            connect_timeout_seconds=own.connect_timeout_seconds,
            read_timeout_seconds=own.read_timeout_seconds,
        )
        self._seeds = SeedMails(self._gateway, own, clock, settings.identity_secret)
        self._dispatcher = Dispatcher(
            dispatching, self._gateway, pace, lambda: SenderTables(self._log), own, clock,
            fail_points, metrics, held=disk.low, seeds=self._seeds,
        )  # fmt: skip
        upkeep = Upkeep(self._store, own, self._orders, self._log.end_offsets, fail_points, metrics)
        forgetting = Forgetting(self._store, self._erased, fail_points, metrics)
        handler = Intake(
            self._store, self._dispatcher, upkeep, forgetting, clock, metrics,
            settle_ms=int(own.settle_seconds * 1000),
        )  # fmt: skip
        member = self._log.join(GROUP, INPUTS, lease_seconds=settings.loop.lease_seconds)
        relay = Relay(GROUP, INPUTS, member, self._store, fail_points, metrics)
        work = StatefulWork(
            GROUP, INPUTS, member, self._store, handler, relay, clock, fail_points, metrics
        )
        self._loop = Loop(
            GROUP,
            INPUTS,
            member,
            work,
            settings.loop,
            clock,
            metrics,
            rewind=work.rewind,
            ignored=ignored,
            held=disk.low,
        )
        self._admin = AdminServer(
            settings.admin_host, own.port, metrics,
            healthy=self._loop.healthy,
            ready=lambda: self._loop.ready() and self._dispatcher.ready(), why_not=disk.word,
            questions=[*Questions(self._store.reader()).routes(), *self._seeds.routes()],
        )  # fmt: skip

    def run(self) -> None:
        self._admin.start()
        self._dispatcher.start()
        try:
            self._loop.run()
        finally:
            self._admin.stop()
            self._seeds.close()
            self._gateway.close()
            self._log.close()

    def stop(self) -> None:
        self._loop.stop()

    def _orders(self) -> Orders:
        tables = self._dispatcher.tables
        return tables.orders if tables is not None else Orders()

    def _erased(self) -> frozenset[str]:
        tables = self._dispatcher.tables
        return tables.erased if tables is not None else frozenset()


if __name__ == "__main__":
    sys.exit(run_service(GROUP, Sender))
