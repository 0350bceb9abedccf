"""The programme topic: definitions, orders and decisions, as a compacted table.

Keys and their one writer: `definition/<kind>/<name>` (console; the newest version),
`definition/<kind>/<name>@<version>` (console; one key per version, never changed, so that what was
approved outlives compaction), `order/send/<send_id>` and `order/halt/all` (console),
`decision/send/<send_id>/<occurrence>` (segmenter). An order states the whole wanted state, so that
the newest record of a key is all a reader needs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from shared.wire.schema import WireModel

HALT_KEY: Final = "order/halt/all"
RELEASE_KEY: Final = "order/release/sender"
SEND_ORDER_KEY: Final = "order/send/"
"""Followed by the send id."""

DefinitionKind = Literal["campaign", "areas", "segment", "template", "send"]


class Definition(WireModel):
    """One version of one definition. `version` is a hash of the body: the same text, the same
    version. `body` is the checked definition as JSON (see shared/programme).
    """

    ce_type: ClassVar[str] = "programme.definition"

    kind: DefinitionKind
    name: str
    version: str
    body: dict[str, Any]
    applied_at: datetime
    applied_by: str = ""


class SendOrder(WireModel):
    """What people want of a send. `due_at` None: not scheduled yet.

    `definition_version` pins what was approved; `approved_count` is the audience the approver saw.
    `pinned` is "<kind>/<name>" to version for everything the send is made of at launch: itself,
    its templates, campaign, areas and segment.
    `settle`: None, or a one-time order for what is unconfirmed ("leave" or "resend"). `retry`: a
    one-time order to send again what SES refused before it was given.
    """

    ce_type: ClassVar[str] = "programme.order.send"

    send_id: str
    definition_version: str
    pinned: dict[str, str] = Field(default_factory=dict)
    due_at: datetime | None = None
    approved_count: int | None = None
    paused: bool = False
    cancelled: bool = False
    settle: Literal["leave", "resend"] | None = None
    retry: bool = False
    ordered_at: datetime
    ordered_by: str = ""


class HaltOrder(WireModel):
    """Stops every send within seconds. Lifting it releases nothing by itself: sends that were
    under way stay paused until each is resumed (`resumed` lists those).
    """

    ce_type: ClassVar[str] = "programme.order.halt"

    halted: bool
    ordered_at: datetime
    ordered_by: str = ""
    reason: str = ""


class ReleaseOrder(WireModel):
    """Ends the hold of a ledger that was restored before it was given."""

    ce_type: ClassVar[str] = "programme.order.release"

    ordered_at: datetime
    ordered_by: str = ""


class SendDecision(WireModel):
    """What the owner of a send decided for all partitions, under its fence."""

    ce_type: ClassVar[str] = "programme.decision.send"

    send_id: str
    occurrence: int
    state: Literal["released", "held", "empty", "finished", "cancelled"]
    frozen: int = 0
    by_variant: dict[str, int] = Field(default_factory=dict)
    reason: str = ""
    decided_at: datetime
