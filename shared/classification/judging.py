"""The `judged` event: what is said of a hit beyond its own event. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.classification.agents import VERSION
from shared.classification.signals import Judgement
from shared.ids import event_id, message_id
from shared.log.record import Record
from shared.log.topics import EVENTS
from shared.wire.cloudevents import encode
from shared.wire.events import Event


@dataclass(frozen=True, slots=True)
class Judged:
    """The hit that was judged, and the message it is of. `hit_id` is the `ce_id` of its event."""

    hit_id: str
    supporter_id: str
    send_id: str
    occurrence: int
    variant: str | None
    edition: str | None
    link: int | None


def judged_record(
    about: Judged,
    judgement: Judgement,
    now: datetime,
    *,
    source: Literal["segmenter", "console"],
    partition: int,
    version: int = VERSION,
) -> Record:
    """The record for `events`. The same judgement by the same version has the same id, whoever
    comes to it.
    """
    event = Event(
        kind="judged",
        supporter_id=about.supporter_id,
        at=now,
        message_id=message_id(about.send_id, about.supporter_id, about.occurrence),
        send_id=about.send_id,
        occurrence=about.occurrence,
        variant=about.variant,
        edition=about.edition,
        link=about.link,
        hit=about.hit_id,
        agent=judgement.agent,
        agent_version=version,
        reasons=judgement.reasons,
    )
    return encode(
        event,
        id=judgement_id(about.hit_id, judgement, version),
        source=source,
        subject=event.message_id or about.supporter_id,
        time=now,
        topic=EVENTS,
        partition=partition,
        key=about.supporter_id,
        type_name=f"doorstep.{event.kind}",
    )


def judgement_id(hit_id: str, judgement: Judgement, version: int = VERSION) -> str:
    """The `ce_id` of what is said of a hit."""
    return event_id("judged", hit_id, version, judgement.agent)
