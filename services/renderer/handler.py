"""The renderer's handler for the loop: audience batches in, rendered batches out, entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import format_datetime

from services.renderer.rendering import Preparer, Signing, render
from services.renderer.templates import TemplateFault
from shared.clock import Clock
from shared.log.record import Record
from shared.log.topics import MESSAGES
from shared.loop.delivery import Delivery
from shared.observability.metrics import Metrics
from shared.wire.batches import MAX_BYTES, AudienceBatch, MessageBatch, Recipient, RenderedMessage
from shared.wire.cloudevents import encode

MOST_CHARACTERS = 40_000_000
"""Of mails in one record before compression; a longer batch is split."""


class Renderer:
    """Stateless; positions live in the log."""

    def __init__(
        self, preparer: Preparer, signing: Signing, clock: Clock, metrics: Metrics
    ) -> None:
        self._preparer, self._signing = preparer, signing
        self._clock, self._metrics = clock, metrics

    def handle(self, deliveries: Sequence[Delivery]) -> list[Record]:
        now = self._clock.now()
        records: list[Record] = []
        for delivery in deliveries:
            if isinstance(delivery.envelope.data, AudienceBatch):
                records.extend(self._batch(delivery.envelope.data, now))
        return records

    def _batch(self, batch: AudienceBatch, now: datetime) -> Iterator[Record]:
        date = format_datetime(now)
        entries = [self._one(recipient, date) for recipient in batch.recipients]
        refused = sum(entry.refusal is not None for entry in entries)
        self._metrics.rendered.labels("rendered").inc(len(entries) - refused)
        self._metrics.rendered.labels("refused").inc(refused)
        yield from split(batch.batch_id, batch.partition, entries, now)

    def _one(self, recipient: Recipient, date: str) -> RenderedMessage:
        try:
            prepared = self._preparer.prepared_for(recipient)
        except TemplateFault as error:
            return RenderedMessage(
                **recipient.model_dump(
                    exclude={"send_version", "template_version", "campaign_version", "language",
                             "pixel", "merge"}
                ),
                refusal=str(error)[:500],
            )  # fmt: skip
        return render(recipient, prepared, self._signing, date)


def split(
    batch_id: str, partition: int, entries: Sequence[RenderedMessage], now: datetime
) -> Iterator[Record]:
    """The batch as one record, or as several when one would be too large for the log.

    The parts are called `<batch>/a` and `<batch>/b`, and so on within.
    """
    size = sum(len(entry.mail or "") for entry in entries)
    record = _record(batch_id, partition, entries, now) if size <= MOST_CHARACTERS else None
    if record is not None and (len(record.value or b"") <= MAX_BYTES or len(entries) == 1):
        yield record
        return
    if len(entries) == 1:
        yield _record(batch_id, partition, entries, now)
        return
    middle = len(entries) // 2
    yield from split(f"{batch_id}/a", partition, entries[:middle], now)
    yield from split(f"{batch_id}/b", partition, entries[middle:], now)


def _record(
    batch_id: str, partition: int, entries: Sequence[RenderedMessage], now: datetime
) -> Record:
    batch = MessageBatch(batch_id=batch_id, partition=partition, entries=tuple(entries))
    return encode(
        batch,
        id=batch_id,
        source="renderer",
        subject=entries[0].send_id,
        time=now,
        topic=MESSAGES,
        partition=partition,
        key=str(partition),
        compress=True,
    )
