"""Events: facts about messages and supporters. A public interface; no address is ever inside.

Every event has a deterministic id (`ce_id`), so that duplicates are recognised. `EventKind` is
the vocabulary; each word has its sentence in `MEANING`.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final, Literal

from pydantic import Field

from shared.wire.schema import WireModel
from shared.wire.supporters import AttributeValue

EventKind = Literal[
    "accepted",
    "suppressed",
    "excluded",
    "capped",
    "expired",
    "cancelled",
    "failed",
    "unconfirmed",
    "ses_sent",
    "delivered",
    "bounced",
    "soft_bounced",
    "complained",
    "rejected",
    "delayed",
    "opened",
    "clicked",
    "unsubscribed",
    "acted",
    "judged",
    "preferred",
]

MEANING: Final[dict[EventKind, str]] = {
    "accepted": "SES took the message; final for sending.",
    "suppressed": "Not sent: a suppression appeared after the audience was frozen.",
    "excluded": "Not sent: the supporter no longer belongs (for example: has voted since).",
    "capped": "Not sent: a cap held it back, or the same inbox gets it under another name.",
    "expired": "Not sent: its deadline came first.",
    "cancelled": "Not sent: the send was cancelled.",
    "failed": "Not sent: refused by the renderer or by SES for good; the reason says which.",
    "unconfirmed": "In doubt: SES may or may not have taken it. A later event may lift it.",
    "ses_sent": "SES says it accepted the message (its Send event).",
    "delivered": "The recipient's mail server took it.",
    "bounced": "Hard bounce: the address does not work.",
    "soft_bounced": "SES gave up after temporary refusals.",
    "complained": "The recipient called it spam.",
    "rejected": "SES found a virus in it after acceptance.",
    "delayed": "SES is still trying.",
    "opened": "The pixel was fetched.",
    "clicked": "A link was followed.",
    "unsubscribed": "The supporter asked for no more mail.",
    "acted": "The supporter did something that matters; `action` names it.",
    "judged": "Who an open or a click was by, where more is known than its own event says.",
    "preferred": "The supporter chose what mail they get; `properties` holds what they changed.",
}

FINAL_KINDS: Final[frozenset[EventKind]] = frozenset(
    {
        "accepted",
        "suppressed",
        "excluded",
        "capped",
        "expired",
        "cancelled",
        "failed",
        "unconfirmed",
    }
)
"""The eight states a message of a frozen audience ends in."""

AgentClass = Literal["person", "proxy", "prefetch", "scanner", "unknown"]


class Event(WireModel):
    """One fact. Travels as `ce_type` `doorstep.<kind>`.

    `settled` belongs to `unconfirmed`: False while the settle window runs, True once final.
    `agent` says who did it, by classification `agent_version`; raw facts stay beside it. `told_at`:
    when SES's notification reached us; `at` is when the thing happened.

    `hit` belongs to `judged`: the `ce_id` of the open or click it is about. Of all that was said
    of a hit the highest `agent_version` counts, and of those the latest; `reasons` are the signs.
    """

    ce_type: ClassVar[str] = "event"

    kind: EventKind
    supporter_id: str
    at: datetime
    message_id: str | None = None
    send_id: str | None = None
    occurrence: int = 0
    variant: str | None = None
    edition: str | None = None
    reason: str | None = None
    settled: bool = True
    attempt: int | None = None
    ses_message_id: str | None = None
    told_at: datetime | None = None
    link: int | None = None
    action: str | None = None
    came_by: str | None = None
    agent: AgentClass | None = None
    agent_version: int | None = None
    user_agent: str | None = None
    method: str | None = None
    hit: str | None = None
    reasons: tuple[str, ...] = ()
    properties: dict[str, AttributeValue] = Field(default_factory=dict)
