"""From frozen rows and today's profiles to audience batches: pure, but for reading nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.segmenter.people.audience import Member
from services.segmenter.sends.programme import Planned
from services.segmenter.sends.variants import draw
from shared.ids import event_id, message_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import AUDIENCE
from shared.wire.batches import MAX_BYTES, MAX_ENTRIES, AudienceBatch, Recipient
from shared.wire.cloudevents import encode


@dataclass(frozen=True, slots=True)
class Frozen:
    """One row of a frozen set."""

    supporter_id: str
    partition: int
    message_id: str
    address_key: str
    variant: str
    edition: str


def recipient(planned: Planned, occurrence: int, row: Frozen, member: Member) -> Recipient:
    """One message to be, with the data its template may use."""
    send, pinned = planned.send, planned.order.pinned
    tracked = send.tracking and member.links
    template = next(v.template for v in send.variants if v.name == row.variant)
    return Recipient(
        message_id=row.message_id,
        send_id=send.name,
        occurrence=occurrence,
        send_version=planned.order.definition_version,
        template_version=pinned.get(f"template/{template}", ""),
        campaign_version=_campaign_version(pinned),
        variant=row.variant,
        edition=row.edition,
        supporter_id=row.supporter_id,
        address_key=member.address_key,
        to=member.email,
        language=member.language or "en",
        topic=send.topic,
        priority=send.priority,
        deadline=send.deadline,
        per_inbox=send.per_inbox,
        resend_unconfirmed=send.unconfirmed == "resend",
        pixel=tracked and send.pixel and member.pixel(needs_consent=planned.pixel_needs_consent),
        tracked=tracked,
        merge={"supporter": _supporter(member), "area": area_data(planned, row.edition) or {}},
    )


def recipient_now(planned: Planned, member: Member, partitions: int) -> Recipient:
    """The message that somebody would get if the send were frozen now, for a look at it."""
    row = Frozen(
        member.supporter_id,
        partition_of(member.supporter_id, partitions),
        message_id(planned.send.name, member.supporter_id),
        member.address_key,
        draw(planned.send.name, member.address_key, planned.send.variants),
        edition_of(planned, member.areas),
    )
    return recipient(planned, 0, row, member)


def area_data(planned: Planned, edition: str) -> dict[str, Any] | None:
    """The data of an edition's area, the default for an edition without entry, else None."""
    if planned.areas is None:
        return {}
    known = planned.areas.by_code.get(edition)
    return known if known is not None else planned.areas.default


def edition_of(planned: Planned, areas: Mapping[str, str]) -> str:
    """The edition of a supporter: the code of their area, if the send has data for it."""
    if planned.areas is None:
        return ""
    code = areas.get(planned.areas.kind, "")
    return code if code in planned.areas.by_code else ""


def batches(
    send_id: str, partition: int, recipients: Iterable[Recipient], now: datetime
) -> Iterator[Record]:
    """Records for the `audience` topic: at most 500 recipients or 900 KB each."""
    chunk: list[Recipient] = []
    size = 0
    for one in recipients:
        weight = len(one.model_dump_json())
        if chunk and (len(chunk) >= MAX_ENTRIES or size + weight > MAX_BYTES):
            yield _record(send_id, partition, chunk, now)
            chunk, size = [], 0
        chunk.append(one)
        size += weight
    if chunk:
        yield _record(send_id, partition, chunk, now)


def _record(send_id: str, partition: int, chunk: Sequence[Recipient], now: datetime) -> Record:
    batch_id = event_id("audience", *(one.message_id for one in chunk))
    batch = AudienceBatch(batch_id=batch_id, partition=partition, recipients=tuple(chunk))
    return encode(
        batch,
        id=batch_id,
        source="segmenter",
        subject=send_id,
        time=now,
        topic=AUDIENCE,
        partition=partition,
        key=str(partition),
        compress=True,
    )


def _supporter(member: Member) -> dict[str, Any]:
    return {
        "first_name": member.first_name or "",
        "last_name": member.last_name or "",
        "name": " ".join(part for part in (member.first_name, member.last_name) if part),
        "language": member.language or "en",
        "postcode": member.postcode or "",
        "attributes": dict(member.attributes),
    }


def _campaign_version(pinned: Mapping[str, str]) -> str:
    return next((v for name, v in pinned.items() if name.startswith("campaign/")), "")


def areas_json(areas: Mapping[str, str]) -> str:
    """The areas a supporter had when frozen, as kept with the row."""
    return json.dumps(dict(areas), sort_keys=True)
