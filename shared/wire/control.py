"""Control of sends: reports of segmenter partitions about freeze and progress, holds of the sender.

Reports are cumulative snapshots keyed by send, so a reader needs only the newest of each partition.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from shared.wire.schema import WireModel


class FreezeReported(WireModel):
    """A partition has frozen its part of an audience: how many, by variant and by edition."""

    ce_type: ClassVar[str] = "control.freeze"

    send_id: str
    occurrence: int
    partition: int
    frozen: int
    by_variant: dict[str, int] = Field(default_factory=dict)
    by_edition: dict[str, int] = Field(default_factory=dict)
    at: datetime


class ProgressReported(WireModel):
    """How far a partition's part has come: released, and final states so far.

    `newest` is the highest number of a `newly qualifies` send's rounds in this partition.
    """

    ce_type: ClassVar[str] = "control.progress"

    send_id: str
    occurrence: int
    partition: int
    frozen: int
    released: int
    finals: dict[str, int] = Field(default_factory=dict)
    at: datetime


class SendHeld(WireModel):
    """The sender holds a send until somebody resumes it. `why`: which breaker opened; refused: SES
    would refuse every message of it.
    """

    ce_type: ClassVar[str] = "control.held"

    send_id: str
    why: Literal["bounces", "complaints", "failures", "refused"]
    reason: str
    at: datetime
