"""Dead letters: a record that could not be handled, whole, and why."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from shared.wire.schema import WireModel


class DeadLetter(WireModel):
    """`value` and the header values are base64. `group` is the consumer group that refused it."""

    ce_type: ClassVar[str] = "dead-letter"

    topic: str
    partition: int
    offset: int
    group: str
    error: str
    reason: str
    key: str | None = None
    value: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    at: datetime
