"""Memberships: a supporter entered or left a segment, with the cause."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from shared.wire.schema import WireModel


class MembershipChanged(WireModel):
    """`cause` is the id of the event or change that did it, or `sweep:<as_of>`."""

    ce_type: ClassVar[str] = "membership.changed"

    segment: str
    segment_version: str
    supporter_id: str
    change: Literal["entered", "left"]
    cause: str
    at: datetime
