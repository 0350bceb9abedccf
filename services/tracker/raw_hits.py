"""Raw hits: what the spool keeps of everything that came in, before it is made into facts.

Raw, so that a fault in what is made of them is mended by making it again. A hit is JSON with the
number of its format. Hits that were committed together share rows of the spool, since a row costs
as much as a hit; an older reader stops at what is newer. SES notifications and actions may hold
addresses: the spool wipes rows once they are forwarded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import NeverRetry, NewerVersion
from shared.tokens import Token
from shared.wire.supporters import AttributeValue, Frequency, TrackingLevel

FORMAT: Final = 2
"""The newest of a hit. A row with one hit has the number of the format that first had its kind."""
FIRST_FORMAT: Final = 1
PREFERENCES_FORMAT: Final = 2
ROW_FORMAT: Final = 3
"""Of a row with several hits. A row with one is that hit."""


class Malformed(NeverRetry):
    """A part of the spool that is not a hit of any format; goes to the dead letters."""

    def __init__(self, reason: str, text: bytes) -> None:
        super().__init__(reason)
        self.text = text


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

_HIT: Final[TypeAdapter[RawHit]] = TypeAdapter(Annotated[RawHit, Field(discriminator="kind")])


class _Several(BaseModel):
    """A row that holds several hits."""

    format: Literal[3]
    hits: list[Annotated[RawHit, Field(discriminator="kind")]]


def pack(hit: RawHit) -> bytes:
    """The hit as JSON."""
    return hit.model_dump_json(exclude_none=True).encode()


def pack_link_hit(
    kind: Literal["opened", "clicked"],
    at_ms: int,
    token: Token,
    link: int | None,
    method: str,
    user_agent: str | None,
) -> bytes:
    """`pack` of the LinkHit that these make, without the objects between: nearly all hits are such.

    `method` is GET or HEAD.
    """
    supporter_id, send_hash, occurrence, variant, edition_hash = token
    said_link = "" if link is None else f'"link":{link},'
    said_agent = "" if user_agent is None else f',"user_agent":{encode_basestring(user_agent)}'
    return (
        f'{{"kind":"{kind}","format":{FIRST_FORMAT},"at_ms":{at_ms},'
        f'"bearer":{{"supporter_id":"{supporter_id}","send_hash":"{send_hash.hex()}",'
        f'"occurrence":{occurrence},"variant":{variant},"edition_hash":"{edition_hash.hex()}"}},'
        f'{said_link}"method":"{method}"{said_agent}}}'
    ).encode()


def pack_row(hits: Sequence[bytes]) -> bytes:
    """A row of the spool, of one packed hit or more."""
    if len(hits) == 1:
        return hits[0]
    return b'{"format":%d,"hits":[%b]}' % (ROW_FORMAT, b",".join(hits))


def unpack_row(row: bytes | None) -> list[RawHit | Malformed]:
    """The hits of a row in their order. Raises NewerVersion for a row of a newer format."""
    text = row or b""
    try:
        if text.startswith(b'{"format":'):
            return list(_Several.model_validate_json(text).hits)
        return [_HIT.validate_json(text)]
    except ValidationError:
        return [_unpack(part) for part in _parts(text)]


def _parts(row: bytes) -> list[bytes]:
    """The hits of a row of which not all can be read."""
    try:
        found: Any = json.loads(row)
    except ValueError:
        return [row]
    if not isinstance(found, dict):
        return [row]
    if not isinstance(hits := found.get("hits"), list):
        _check_format(found, FORMAT if "kind" in found else ROW_FORMAT)
        return [row]
    _check_format(found, ROW_FORMAT)
    for hit in hits:
        _check_format(hit, FORMAT)
    return [json.dumps(hit, ensure_ascii=False).encode() for hit in hits]


def _check_format(found: Any, known: int) -> None:
    number = found.get("format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > known:
        raise NewerVersion(
            f"the spool has hits of format {number}, which this tracker does not know: it was "
            "written by a newer one; start that one again, it forwards them"
        )


def _unpack(hit: bytes) -> RawHit | Malformed:
    try:
        return _HIT.validate_json(hit)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the hit"
        return Malformed(f"a hit of the spool: {place}: {first['msg']}", hit)
