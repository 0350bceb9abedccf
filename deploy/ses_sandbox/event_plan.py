"""Which events follow an acceptance, and when each is to be posted. Pure and repeatable.

The plan depends only on the mail, the switches and the seed: made again after a crash, it comes
out the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from deploy.ses_sandbox.accepted_mail import AcceptedMail
from deploy.ses_sandbox.chance import draw, drawn_uuid
from deploy.ses_sandbox.mailboxes import Fate, fate_of
from deploy.ses_sandbox.settings import Switches

EventType = Literal["Send", "Delivery", "Bounce", "Complaint"]

DUPLICATE_AFTER_MS: Final = 250


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """One notification to post. `happened_ms` stands in it; `due_ms` is when it goes out."""

    message_id: str
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
    late = switches.out_of_order_rate
    if late and draw(switches.seed, "out of order", *name) < late:
        due_ms += round(switches.out_of_order_ms)
    first = PlannedEvent(
        *name, recipients, happened_ms, due_ms, str(drawn_uuid("notification", *name))
    )
    doubled = switches.duplicate_rate
    drawn = draw(switches.seed, "duplicate", *name) if doubled else 1.0
    if drawn >= doubled:
        return [first]
    again = replace(first, due_ms=due_ms + DUPLICATE_AFTER_MS)
    # Half of the doubles are SNS delivering once more (same id), half SES speaking twice (new id).
    if drawn < doubled / 2:
        again = replace(again, sns_message_id=str(drawn_uuid("notification", *name, "again")))
    return [first, again]
