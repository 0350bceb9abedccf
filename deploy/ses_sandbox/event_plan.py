"""Which events follow an acceptance, and when each is to be posted. Pure and repeatable.

The plan depends only on the mail, the switches and the seed: made again after a crash, it comes
out the same.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final, Literal

from deploy.ses_sandbox.accepted_mail import AcceptedMail
from deploy.ses_sandbox.chance import draw
from deploy.ses_sandbox.mailboxes import Fate, fate_of
from deploy.ses_sandbox.settings import Switches

EventType = Literal["Send", "Delivery", "Bounce", "Complaint"]

DUPLICATE_AFTER_MS: Final = 250
_NOTIFICATIONS: Final = uuid.UUID("6d6f0a2e-6b0f-5f0e-9c55-5a2f4f0f7c11")


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """One notification to post. `happened_ms` stands in it; `due_ms` is when it goes out."""

    event_type: EventType
    fate: Fate
    recipients: tuple[str, ...]
    happened_ms: int
    due_ms: int
    sns_message_id: str


def plan_events(mail: AcceptedMail, switches: Switches) -> list[PlannedEvent]:
    """The events of a mail in the order in which they happen; none without a configuration set."""
    if mail.configuration_set is None:
        return []
    by_fate: dict[Fate, list[str]] = {}
    for address in mail.recipients:
        fate = fate_of(
            address,
            seed=switches.seed,
            bounce_rate=switches.bounce_rate,
            complaint_rate=switches.complaint_rate,
        )
        by_fate.setdefault(fate, []).append(address)

    happenings: list[tuple[EventType, Fate, list[str], float]] = [
        ("Send", "delivered", list(mail.recipients), switches.send_delay_ms)
    ]
    for fate, addresses in by_fate.items():
        if fate in ("delivered", "complaint"):
            happenings.append(("Delivery", fate, addresses, switches.delivery_delay_ms))
        if fate in ("hard_bounce", "soft_bounce", "suppressed"):
            happenings.append(("Bounce", fate, addresses, switches.bounce_delay_ms))
        if fate == "complaint":
            happenings.append(("Complaint", fate, addresses, switches.complaint_delay_ms))
    planned: list[PlannedEvent] = []
    for event_type, fate, addresses, delay_ms in happenings:
        planned += _posts(mail, switches, event_type, fate, tuple(addresses), delay_ms=delay_ms)
    return planned


def _posts(
    mail: AcceptedMail,
    switches: Switches,
    event_type: EventType,
    fate: Fate,
    recipients: tuple[str, ...],
    *,
    delay_ms: float,
) -> list[PlannedEvent]:
    """One post of the event, or two; perhaps held back so that later ones overtake it."""
    name = (mail.message_id, event_type, fate)
    happened_ms = mail.accepted_ms + round(delay_ms)
    due_ms = happened_ms
    if draw(switches.seed, "out of order", *name) < switches.out_of_order_rate:
        due_ms += round(switches.out_of_order_ms)
    sns_message_id = str(uuid.uuid5(_NOTIFICATIONS, ":".join(name)))
    first = PlannedEvent(event_type, fate, recipients, happened_ms, due_ms, sns_message_id)
    drawn = draw(switches.seed, "duplicate", *name)
    if drawn >= switches.duplicate_rate:
        return [first]
    # Half of the doubles are SNS delivering once more (same id), half SES speaking twice (new id).
    if drawn < switches.duplicate_rate / 2:
        sns_message_id = str(uuid.uuid5(_NOTIFICATIONS, ":".join((*name, "again"))))
    again_ms = due_ms + DUPLICATE_AFTER_MS
    return [
        first,
        PlannedEvent(event_type, fate, recipients, happened_ms, again_ms, sns_message_id),
    ]
