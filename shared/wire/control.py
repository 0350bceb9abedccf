"""Control of sends between segmenter partitions: reports of a freeze, and progress.

All are cumulative snapshots keyed by send, so a reader needs only the newest of each partition.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

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
