"""Intake: rendered batches become ledger rows, SES events lift what is in doubt.

The log is not a work queue: intake never waits for SES, so a paused send does not hold up the
next. Also what time makes due in the ledger: deadlines, cancellations, settling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import zstandard

from services.sender.dispatch import Dispatcher
from services.sender.feedback import Feedback, Told
from services.sender.forgetting import Forgetting
from services.sender.ledger import Ledger
from services.sender.outcomes import tell
from services.sender.soft_bounces import SoftBounces
from services.sender.upkeep import Upkeep
from shared.clock import Clock, to_ms
from shared.log.record import Stored
from shared.log.topics import EVENTS
from shared.loop.delivery import Delivery
from shared.observability.metrics import Metrics
from shared.store.port import Store, Unit
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


def content_of(stored: Stored) -> bytes:
    """The value as the ledger keeps it: zstd, also where the log has it plain."""
    value = stored.value or b""
    plain = stored.header("content-encoding") != b"zstd"
    return zstandard.compress(value, 1) if plain else value


class Intake:
    """The sender's handler for the loop."""

    def __init__(
        self,
        store: Store[Unit],
        dispatcher: Dispatcher,
        upkeep: Upkeep,
        forgetting: Forgetting,
        clock: Clock,
        metrics: Metrics,
        settle_ms: int,
        feedback: Feedback,
        soft_bounces: SoftBounces,
    ) -> None:
        self._forgetting, self._feedback = forgetting, feedback
        self._soft_bounces = soft_bounces
        self._store, self._dispatcher, self._upkeep = store, dispatcher, upkeep
        self._clock, self._metrics, self._settle_ms = clock, metrics, settle_ms
        for state in FINAL_KINDS:
            metrics.outcomes.labels(state)  # begins at nought: the first is then an increase
        for kind in FROM_SES:
            metrics.mail_events.labels(kind)

    def handle(self, unit: Unit, deliveries: Sequence[Delivery]) -> None:
        batches: list[tuple[MessageBatch, bytes]] = []
        taken: list[tuple[str, str | None]] = []
        told_ms: set[int] = set()
        fates: list[Told] = []
        for delivery in deliveries:
            match delivery.envelope.data:
                case MessageBatch() as batch:
                    check_partition(batch, delivery.stored)
                    batches.append(
                        self._forgetting.batch_without_erased(batch, content_of(delivery.stored))
                    )
                case Event(kind=kind, message_id=str(message_id)) as event if kind in FROM_SES:
                    self._metrics.mail_events.labels(kind).inc()
                    taken.append((message_id, event.ses_message_id))
                    if event.send_id is not None:
                        partition = delivery.stored.partition
                        fates.append(Told(partition, event.send_id, message_id, kind))
                    if event.told_at is not None:
                        told_ms.add(to_ms(event.told_at))
                case _:
                    pass
        self._write(unit, batches, taken, told_ms)
        self._feedback.take_in(unit, fates, self._clock.now())
        soft = [one.message_id for one in fates if one.kind == "soft_bounced"]
        self._soft_bounces.take_in(unit, soft, self._clock.now())

    def _write(
        self,
        unit: Unit,
        batches: Sequence[tuple[MessageBatch, bytes]],
        taken: Sequence[tuple[str, str | None]],
        told_ms: Iterable[int],
    ) -> None:
        ledger, now = Ledger(unit.connection), self._clock.now()
        if batches:
            tell(unit, ledger.take_in(batches, to_ms(now)), now, self._metrics)
        if taken:
            # Most say it of a message that is known to be accepted: two or three events each.
            news = ledger.hear((message_id for message_id, _ in taken), to_ms(now))
            ledger.note_told(told_ms)
            told = [(message_id, ses_id) for message_id, ses_id in taken if message_id in news]
            tell(unit, ledger.accept(told, to_ms(now)), now, self._metrics)

    def tick(self, now: datetime) -> None:
        self._dispatcher.check()
        self._upkeep.tick(now)
        self._forgetting.tick(now)

    def assigned(self, partitions: frozenset[int]) -> None:
        """What an earlier owner was calling for is in doubt; then dispatch may begin."""
        now = self._clock.now()
        with self._store.unit() as unit:
            unit.check(*partitions)
            facts = Ledger(unit.connection).doubt_interrupted(
                partitions, to_ms(now) + self._settle_ms, to_ms(now)
            )
            tell(unit, facts, now, self._metrics)
        self._forgetting.assigned()
        self._dispatcher.take(partitions)

    def released(self, partitions: frozenset[int]) -> None:
        self._dispatcher.release(partitions)

    def stop(self) -> None:
        self._dispatcher.stop()
