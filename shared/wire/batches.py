"""Batches on their way to SES: an audience batch, and the same batch rendered.

A batch holds up to 500 recipients of one partition and may mix sends, editions and variants.
Refusals travel inside the rendered batch, so that the ledger writes every final state.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from shared.errors import NeverRetry
from shared.log.record import Stored
from shared.wire.schema import WireModel

MAX_ENTRIES: Final = 500
MAX_BYTES: Final = 900_000

Priority = Literal["urgent", "normal", "low"]


class Recipient(WireModel):
    """One message to be: who, of which send, by which variant, with which merge data.

    The three versions pin what was approved; an empty one means the newest the renderer knows.
    Not `tracked`: plain links, and no pixel whatever `pixel` says.
    """

    message_id: str
    send_id: str
    occurrence: int = 0
    send_version: str
    template_version: str = ""
    campaign_version: str = ""
    variant: str
    edition: str = ""
    supporter_id: str
    address_key: str
    to: str
    language: str = "en"
    topic: str = "campaign"
    priority: Priority = "normal"
    deadline: datetime | None = None
    per_inbox: bool = True
    resend_unconfirmed: bool = False
    pixel: bool = True
    tracked: bool = True
    merge: dict[str, Any] = Field(default_factory=dict)


class AudienceBatch(WireModel):
    """What the segmenter releases: recipients with the data their message needs."""

    ce_type: ClassVar[str] = "audience.batch"

    batch_id: str
    partition: int
    recipients: tuple[Recipient, ...]


class RenderedMessage(WireModel):
    """One entry of a rendered batch: the recipient's ledger facts, and a mail or a refusal.

    `mail` is the whole RFC 5322 message, ASCII, CRLF line ends. Exactly one of mail and refusal.
    """

    message_id: str
    send_id: str
    occurrence: int = 0
    variant: str
    edition: str = ""
    supporter_id: str
    address_key: str
    to: str
    sender: str = ""
    topic: str = "campaign"
    priority: Priority = "normal"
    deadline: datetime | None = None
    per_inbox: bool = True
    resend_unconfirmed: bool = False
    mail: str | None = None
    refusal: str | None = None


class MessageBatch(WireModel):
    """What the renderer makes of an audience batch, entry by entry, same order."""

    ce_type: ClassVar[str] = "message.batch"

    batch_id: str
    partition: int
    entries: tuple[RenderedMessage, ...]


def check_partition(batch: AudienceBatch | MessageBatch, stored: Stored) -> None:
    """Raises NeverRetry for a batch that stands in another partition than it is of.

    Nobody could commit what comes of it: its owner is somebody else, or nobody.
    """
    if batch.partition != stored.partition:
        raise NeverRetry(
            f"{stored.topic}[{stored.partition}]@{stored.offset}: the batch is of partition "
            f"{batch.partition}; publish it there"
        )
