"""From rendered batches to the rows that the ledger takes in. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from services.sender.last_look import ERASED
from services.sender.schema import PRIORITIES
from shared.clock import to_ms
from shared.wire.batches import MessageBatch, RenderedMessage
from shared.wire.events import EventKind

State = EventKind | Literal["ready"]


class IntakeRow(NamedTuple):
    """The columns of a row as it comes in. `batch_id` is kept while the mail is needed."""

    entry_no: int
    message_id: str
    send_id: str
    occurrence: int
    partition: int
    supporter_id: str
    address_key: str
    variant: str
    edition: str
    topic: str
    priority: int
    deadline_ms: int | None
    per_inbox: int
    resend: int
    sender: str
    to_address: str
    batch_id: str | None
    entry: int
    state: State
    reason: str | None
    updated_ms: int

    def inbox(self) -> tuple[str, int, str, str]:
        """An order of rows by what their unique indexes are about."""
        return self.send_id, self.occurrence, self.address_key, self.message_id

    def capped(self) -> IntakeRow:
        """The inbox is taken by another name of this send."""
        return self._replace(state="capped", reason="same inbox", batch_id=None)


COLUMNS = IntakeRow._fields


def intake_rows(
    batches: Iterable[tuple[MessageBatch, bytes]], first_number: int, now_ms: int
) -> list[IntakeRow]:
    """A row for every entry, numbered in order; the first one where a message comes twice."""
    rows: dict[str, IntakeRow] = {}
    for batch, _ in batches:
        for number, entry in enumerate(batch.entries):
            if entry.message_id not in rows:
                entry_no = first_number + len(rows)
                rows[entry.message_id] = _row(entry_no, batch, number, entry, now_ms)
    return list(rows.values())


def _row(
    entry_no: int, batch: MessageBatch, number: int, entry: RenderedMessage, now_ms: int
) -> IntakeRow:
    state, reason = _state_at_intake(entry)
    return IntakeRow(
        entry_no=entry_no,
        message_id=entry.message_id,
        send_id=entry.send_id,
        occurrence=entry.occurrence,
        partition=batch.partition,
        supporter_id=entry.supporter_id,
        address_key=entry.address_key,
        variant=entry.variant,
        edition=entry.edition,
        topic=entry.topic,
        priority=PRIORITIES[entry.priority],
        deadline_ms=None if entry.deadline is None else to_ms(entry.deadline),
        per_inbox=int(entry.per_inbox),
        resend=int(entry.resend_unconfirmed),
        sender=entry.sender,
        to_address=entry.to,
        batch_id=batch.batch_id if state == "ready" else None,
        entry=number,
        state=state,
        reason=reason,
        updated_ms=now_ms,
    )


def _state_at_intake(entry: RenderedMessage) -> tuple[State, str | None]:
    """(state, reason). What SES could not be given is refused here, by name."""
    if not entry.to and entry.refusal is None:
        return "suppressed", ERASED
    if not entry.mail:
        return "failed", entry.refusal or "rendered to nothing"
    if not entry.mail.isascii():
        return "failed", "the rendered mail is not ASCII"
    return "ready", None
