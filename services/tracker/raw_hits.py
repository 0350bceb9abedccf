"""Raw hits: what the spool keeps of everything that came in, before it is made into facts.

Raw, so that a fault in what is made of them is mended by making it again. A row is JSON with the
number of its format; an older reader stops at a newer one. The rows of SES notifications and of
actions may hold addresses: the spool wipes rows once they are forwarded.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import NeverRetry, NewerVersion
from shared.tokens import Token
from shared.wire.supporters import AttributeValue, Frequency, TrackingLevel

FORMAT: Final = 2
"""The newest. A row has the number of the format that first had its kind."""
FIRST_FORMAT: Final = 1
PREFERENCES_FORMAT: Final = 2


class Malformed(NeverRetry):
    """A row of the spool that is not a hit of any format; goes to the dead letters."""


class Row(BaseModel):
    """A part of a row."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Bearer(Row):
    """What a verified token said. The hashes are hex; the programme knows what they stand for."""

    supporter_id: str
    send_hash: str
    occurrence: int
    variant: int
    edition_hash: str

    @classmethod
    def of(cls, token: Token) -> Self:
        return cls(
            supporter_id=token.supporter_id,
            send_hash=token.send_hash.hex(),
            occurrence=token.occurrence,
            variant=token.variant,
            edition_hash=token.edition_hash.hex(),
        )


class LinkHit(Row):
    """A pixel was fetched or a link was followed. `link` is None for the pixel."""

    kind: Literal["opened", "clicked"]
    format: int = FIRST_FORMAT
    at_ms: int
    bearer: Bearer
    link: int | None = None
    method: str
    user_agent: str | None = None


class UnsubscribeHit(Row):
    """Somebody asked for no more mail. `one_click`: the mailbox provider's button (RFC 8058)."""

    kind: Literal["unsubscribed"] = "unsubscribed"
    format: int = FIRST_FORMAT
    at_ms: int
    bearer: Bearer
    one_click: bool
    user_agent: str | None = None


class ActionHit(Row):
    """An action, reported by the campaign's own site.

    `supporter_id` is who did it, `bearer` whose mail it came by. `key_hash` stands for the
    idempotency key. `email` or `source` and `external_id` are kept when they named the person.
    """

    kind: Literal["acted"] = "acted"
    format: int = FIRST_FORMAT
    at_ms: int
    received_ms: int
    key_hash: str
    action: str
    supporter_id: str
    bearer: Bearer | None = None
    email: str | None = None
    source: str | None = None
    external_id: str | None = None
    properties: dict[str, AttributeValue] = Field(default_factory=dict)


class PreferencesHit(Row):
    """Somebody chose what mail they get; None, or absent, is what they left as it was.

    `topics`: name to whether they want mail about it. `wording`: the words by which `tracking` was
    chosen. `postcode` is as they wrote it.
    """

    kind: Literal["preferred"] = "preferred"
    format: int = PREFERENCES_FORMAT
    at_ms: int
    bearer: Bearer
    topics: dict[str, bool] = Field(default_factory=dict)
    frequency: Frequency | None = None
    language: str | None = None
    postcode: str | None = None
    tracking: TrackingLevel | None = None
    wording: str = ""
    user_agent: str | None = None


class SesHit(Row):
    """A notification of SES, its signature verified: the text of `Message` as it came."""

    kind: Literal["ses"] = "ses"
    format: int = FIRST_FORMAT
    at_ms: int
    text: str


RawHit = LinkHit | UnsubscribeHit | ActionHit | PreferencesHit | SesHit

_ROWS: Final[TypeAdapter[RawHit]] = TypeAdapter(Annotated[RawHit, Field(discriminator="kind")])


def pack(hit: RawHit) -> bytes:
    """The row."""
    return hit.model_dump_json(exclude_none=True).encode()


def unpack(row: bytes | None) -> RawHit:
    """The inverse of `pack`. Raises Malformed, or NewerVersion for a row of a newer format."""
    try:
        return _ROWS.validate_json(row or b"")
    except ValidationError as error:
        _check_format(row or b"")
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the row"
        raise Malformed(f"a row of the spool: {place}: {first['msg']}") from None


def _check_format(row: bytes) -> None:
    try:
        found: Any = json.loads(row)
    except ValueError:
        return
    number = found.get("format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > FORMAT:
        raise NewerVersion(
            f"the spool has rows of format {number}, this tracker knows {FORMAT}: it was written "
            "by a newer one; start that one again, it forwards them"
        )
