"""What the segmenter says on `events` about people of a frozen set who never reach the sender."""

from __future__ import annotations

from datetime import datetime

from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import EVENTS, SUPPRESSIONS
from shared.store.port import Unit
from shared.wire.cloudevents import encode
from shared.wire.events import Event, EventKind
from shared.wire.suppressions import Suppression


def emit_final(
    unit: Unit,
    partition: int,
    kind: EventKind,
    reason: str,
    *,
    send_id: str,
    message_id: str,
    supporter_id: str,
    variant: str,
    edition: str,
    now: datetime,
) -> None:
    """The final state of a message that was never released."""
    event = Event(
        kind=kind, supporter_id=supporter_id, at=now, message_id=message_id, send_id=send_id,
        variant=variant, edition=edition, reason=reason, attempt=0,
    )  # fmt: skip
    unit.emit(
        partition,
        encode(
            event,
            id=event_id("outcome", message_id, kind, 1, 0),
            source="segmenter",
            subject=message_id,
            time=now,
            topic=EVENTS,
            partition=partition,
            key=supporter_id,
            type_name=f"doorstep.{kind}",
        ),
    )


def exclusion(send_id: str, supporter_id: str, partitions: int, now: datetime) -> Record:
    """The suppression that stops one send's mail to one supporter, up to the last look."""
    suppression = Suppression(
        subject=supporter_id, scope=f"send:{send_id}", reason="excluded", at=now
    )
    return encode(
        suppression,
        id=event_id("excluded", send_id, supporter_id),
        source="segmenter",
        subject=supporter_id,
        time=now,
        topic=SUPPRESSIONS,
        partition=partition_of(suppression.key, partitions),
        key=suppression.key,
    )
