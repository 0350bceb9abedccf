"""Wiring of the sender: what is connected to what, and in which order it starts and stops."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import timedelta

from services.sender.account import Limits
from services.sender.account_watch import AccountWatch
from services.sender.beginning import refuse_to_begin_anew
from services.sender.breakers import Rules
from services.sender.dispatch import Dispatcher
from services.sender.feedback import Feedback
from services.sender.forgetting import Forgetting
from services.sender.gateway_choice import open_gateway
from services.sender.holding import Holding
from services.sender.intake import Intake, ignored
from services.sender.last_look import Orders
from services.sender.pace import OwnPace, Pace, SharedPace
from services.sender.provider_pace import ProviderPace
from services.sender.questions import Questions
from services.sender.schema import LEDGER_DDL
from services.sender.seed_mails import SeedMails
from services.sender.ses_account import SesAccount
from services.sender.soft_bounces import SoftBounces, SoftRule
from services.sender.suppression_list import SuppressionListReading
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
from shared.settings import SenderSettings, Settings
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
        limits = Limits(own.rate, own.daily_reserve, own.account_seconds)
        self._ses_account = SesAccount(region=own.region, endpoint=own.ses_endpoint)
        asking = self._store.sibling()
        reading = SuppressionListReading(
            asking, self._ses_account.suppressed, self._suppressions, settings.identity_secret(),
            settings.partitions, own.suppression_list_seconds, clock, metrics,
        )  # fmt: skip
        self._account = AccountWatch(
            asking, self._ses_account.account, limits, clock, metrics, reading.step
        )

        def pace(row: int, rate: Callable[[], float]) -> Pace:
            if not shared:
                return OwnPace(rate, clock)
            return SharedPace(dispatching.connection, rate, clock, row)

        self._gateway = open_gateway(own)
        self._seeds = SeedMails(self._gateway, own, clock, settings.identity_secret)
        holding = Holding(settings.partitions, metrics)
        self._dispatcher = Dispatcher(
            dispatching, self._gateway, pace(1, self._account.rate),
            lambda: SenderTables(self._log), own, clock, fail_points, metrics,
            held=lambda: disk.low() or self._account.held(), holding=holding,
            providers=ProviderPace(pace), on_hold_all=self._account.wake,
            seeds=self._seeds,
        )  # fmt: skip
        soft_bounces = SoftBounces(_soft_rule(own), settings.partitions)
        upkeep = Upkeep(
            self._store, own, self._orders, self._log.end_offsets, fail_points, metrics,
            self._account.rate, soft_bounces,
        )  # fmt: skip
        forgetting = Forgetting(self._store, self._erased, fail_points, metrics)
        handler = Intake(
            self._store, self._dispatcher, upkeep, forgetting, clock, metrics,
            settle_ms=int(own.settle_seconds * 1000),
            feedback=Feedback(_breakers(own), holding, self._dispatcher.resumed_ms),
            soft_bounces=soft_bounces,
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
            questions=[
                *Questions(
                    self._store.reader(), limits, lambda: self._orders().warm_ups
                ).routes(),
                *self._seeds.routes(),
            ],
        )  # fmt: skip

    def run(self) -> None:
        self._admin.start()
        self._account.start()
        self._dispatcher.start()
        try:
            self._loop.run()
        finally:
            self._admin.stop()
            self._account.stop()
            self._ses_account.close()
            self._gateway.close()
            self._log.close()

    def stop(self) -> None:
        self._loop.stop()

    def _orders(self) -> Orders:
        tables = self._dispatcher.tables
        return tables.orders if tables is not None else Orders()

    def _suppressions(self) -> Mapping[str, Mapping[str, str]] | None:
        tables = self._dispatcher.tables
        return tables.suppressions if tables is not None else None

    def _erased(self) -> frozenset[str]:
        tables = self._dispatcher.tables
        return tables.erased if tables is not None else frozenset()


def _breakers(own: SenderSettings) -> Rules:
    return Rules(
        window=own.breaker_window, least=own.breaker_least, bounces=own.breaker_bounces,
        complaints=own.breaker_complaints, failures=own.breaker_failures,
    )  # fmt: skip


def _soft_rule(own: SenderSettings) -> SoftRule:
    return SoftRule(
        own.soft_bounces,
        within=timedelta(days=own.soft_bounce_days),
        lasting=timedelta(days=own.soft_suppressed_days),
    )


if __name__ == "__main__":
    sys.exit(run_service(GROUP, Sender))
