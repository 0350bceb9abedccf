"""Suppressions: reasons not to mail, each with a scope. A compacted topic, read as a table.

The key is `<subject>|<scope>`; a tombstone lifts it.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final, Literal

from shared.wire.schema import WireModel

SuppressionReason = Literal[
    "unsubscribed", "complained", "hard_bounce", "soft_bounces", "erased", "excluded"
]

FOR_NOW: Final = "for_now"
"""The scope of everything for a while: written and lifted by the sender alone."""


class Suppression(WireModel):
    """`subject` is an address key or a supporter id; `scope` is "everything", "for_now",
    "topic:<name>" or "send:<send_id>".
    """

    ce_type: ClassVar[str] = "suppression"

    subject: str
    scope: str
    reason: SuppressionReason
    at: datetime

    @property
    def key(self) -> str:
        return f"{self.subject}|{self.scope}"
