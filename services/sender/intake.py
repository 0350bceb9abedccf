"""Intake: rendered batches become ledger rows, SES events lift what is in doubt.

The log is not a work queue: intake never waits for SES, so a paused send does not hold up the
next. Also what time makes due in the ledger: deadlines, cancellations, settling.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import zstandard

from services.sender.dispatch import Dispatcher
from services.sender.ledger import Ledger
from services.sender.outcomes import tell
from services.sender.upkeep import Upkeep
from shared.clock import Clock, to_ms
from shared.log.record import Stored
from shared.log.topics import EVENTS
from shared.loop.delivery import Delivery
from shared.observability.metrics import Metrics
from shared.store.sqlite import SqliteStore, SqliteUnit
from shared.wire.batches import MessageBatch, check_partition
from shared.wire.events import FINAL_KINDS, MEANING, Event

FROM_SES = frozenset(
    {"ses_sent", "delivered", "bounced", "soft_bounced", "complained", "rejected", "delayed"}
)
"""Every one of these proves that SES accepted the message."""

IGNORED_TYPES = frozenset(f"doorstep.{kind}".encode() for kind in set(MEANING) - FROM_SES)
"""Types of events that say nothing to the ledger."""


def ignored(stored: Stored) -> bool:
    """Whether a record can be left unread, by its type alone."""
    return stored.topic == EVENTS and stored.header("ce_type") in IGNORED_TYPES


def _content(stored: Stored) -> bytes:
    """The value as the ledger keeps it: zstd, also where the log has it plain."""
    value = stored.value or b""
    plain = stored.header("content-encoding") != b"zstd"
    return zstandard.compress(value, 1) if plain else value


class Intake:
    """The sender's handler for the loop."""

    def __init__(
        self,
        store: SqliteStore,
        dispatcher: Dispatcher,
        upkeep: Upkeep,
        clock: Clock,
        metrics: Metrics,
        settle_ms: int,
    ) -> None:
        self._store, self._dispatcher, self._upkeep = store, dispatcher, upkeep
        self._clock, self._metrics, self._settle_ms = clock, metrics, settle_ms
        for state in FINAL_KINDS:
            metrics.outcomes.labels(state)  # begins at nought: the first is then an increase
        for kind in FROM_SES:
            metrics.mail_events.labels(kind)

    def handle(self, unit: SqliteUnit, deliveries: Sequence[Delivery]) -> None:
        ledger = Ledger(unit.connection)
        now = self._clock.now()
        for delivery in deliveries:
            match delivery.envelope.data:
                case MessageBatch() as batch:
                    check_partition(batch, delivery.stored)
                    for final in ledger.take_in(batch, _content(delivery.stored), to_ms(now)):
                        tell(unit, final, now, self._metrics)
                case Event(kind=kind) as event if kind in FROM_SES and event.message_id:
                    self._metrics.mail_events.labels(kind).inc()
                    ledger.note_event(delivery.stored.partition, event.at)
                    fact = ledger.accept(event.message_id, event.ses_message_id, to_ms(now))
                    tell(unit, fact, now, self._metrics)
                case _:
                    pass

    def tick(self, now: datetime) -> None:
        self._dispatcher.check()
        self._upkeep.tick(now)

    def assigned(self, partitions: frozenset[int]) -> None:
        """What an earlier owner was calling for is in doubt; then dispatch may begin."""
        now = self._clock.now()
        with self._store.unit() as unit:
            for partition in partitions:
                unit.check(partition)
                for fact in Ledger(unit.connection).doubt_interrupted(
                    partition, to_ms(now) + self._settle_ms, to_ms(now)
                ):
                    tell(unit, fact, now, self._metrics)
        self._dispatcher.take(partitions)

    def released(self, partitions: frozenset[int]) -> None:
        self._dispatcher.release(partitions)

    def stop(self) -> None:
        self._dispatcher.stop()
