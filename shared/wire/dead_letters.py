"""Dead letters: a record that could not be handled, whole, and why; and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

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


class DeadLetterHandled(WireModel):
    """Somebody has dealt with a letter; on `dead-letters` too, and younger, so it outlives it.

    `letter` is the letter's `ce_id`. `people`: for how many a final state was ordered.
    """

    ce_type: ClassVar[str] = "dead-letter.handled"

    letter: str
    how: Literal["replayed", "discarded"]
    reason: str = ""
    people: int = 0
    by: str = ""
    at: datetime
