"""A batch of recipients becomes a batch of messages, and that becomes records the log can hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from services.renderer.preparing import Preparer
from services.renderer.rendering import Signing, refused, render
from services.renderer.template_faults import TemplateFault
from shared.log.record import Record
from shared.log.topics import MESSAGES
from shared.wire.batches import MAX_BYTES, AudienceBatch, MessageBatch, Recipient, RenderedMessage
from shared.wire.cloudevents import encode

MOST_CHARACTERS: Final = 40_000_000
"""Of mails in one record before compression: readers take 64 MiB decompressed at most."""


def render_batch(
    batch: AudienceBatch, preparer: Preparer, signing: Signing, now: datetime
) -> MessageBatch:
    """Entry by entry, in the same order: a mail, or a refusal for that recipient alone.

    Raises RetryLater while a definition that a recipient was approved with has not arrived.
    """
    date = format_datetime(now)
    return MessageBatch(
        batch_id=batch.batch_id,
        partition=batch.partition,
        entries=tuple(_entry(one, preparer, signing, date) for one in batch.recipients),
    )


def records_of(batch: MessageBatch, now: datetime) -> list[Record]:
    """The batch as one record of `messages`; as several, called `<batch_id>/0`, `/1` and so on,
    when one would be too large for the log. The same batch gives the same records.

    A mail that no record can hold becomes a refusal.
    """
    whole = _fitting(batch, now)
    if whole is not None:
        return [whole]
    return [
        _record(
            batch.model_copy(update={"batch_id": f"{batch.batch_id}/{n}", "entries": part}), now
        )
        for n, part in enumerate(_parts(batch, now))
    ]


def _entry(
    recipient: Recipient, preparer: Preparer, signing: Signing, date: str
) -> RenderedMessage:
    try:
        prepared = preparer.prepared_for(recipient)
    except TemplateFault as error:
        return refused(recipient, str(error))
    return render(recipient, prepared, signing, date)


def _parts(batch: MessageBatch, now: datetime) -> Iterator[tuple[RenderedMessage, ...]]:
    """The entries of a batch that does not fit, in halves of halves that do."""
    if len(batch.entries) == 1:
        yield (_too_large(batch.entries[0]),)
        return
    middle = len(batch.entries) // 2
    for half in (batch.entries[:middle], batch.entries[middle:]):
        part = batch.model_copy(update={"entries": half})
        if _fitting(part, now) is not None:
            yield half
        else:
            yield from _parts(part, now)


def _fitting(batch: MessageBatch, now: datetime) -> Record | None:
    """The record of a batch, or None when it would be too large."""
    if sum(len(entry.mail or "") for entry in batch.entries) > MOST_CHARACTERS:
        return None
    record = _record(batch, now)
    return record if len(record.value or b"") <= MAX_BYTES else None


def _too_large(entry: RenderedMessage) -> RenderedMessage:
    size = len(entry.mail or "")
    return entry.model_copy(
        update={
            "mail": None,
            "sender": "",
            "refusal": f"the mail has {size} bytes, too many for a record of the log even when "
            "compressed: embed less in the template",
        }
    )


def _record(batch: MessageBatch, now: datetime) -> Record:
    return encode(
        batch,
        id=batch.batch_id,
        source="renderer",
        subject=batch.entries[0].send_id if batch.entries else "",
        time=now,
        topic=MESSAGES,
        partition=batch.partition,
        key=str(batch.partition),
        compress=True,
    )
