"""Reads a change to a supporter into a clean statement: one spelling, whole, safe to keep.

White space and control characters are made plain, texts that are too long and values that cannot
be kept are refused with a sentence, and the address gets its key. Whether the statement counts is
not decided here. Pure; no refusal quotes an address or a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from services.segmenter.people.attribute_values import Unstorable, storable
from shared.clock import to_ms
from shared.errors import NeverRetry
from shared.ids import BadAddress, address_key, normalise_address
from shared.wire.supporters import (
    AttributeValue,
    Consent,
    SupporterChanged,
    TrackingChoice,
    TrackingLevel,
)

FIELDS: Final[tuple[str, ...]] = ("email", "first_name", "last_name", "postcode", "language")
LONGEST_FIELD: Final = 1_000
LONGEST_NAME: Final = 200
"""Of a tag, an attribute's name, an area's kind or code, a source, an external id."""
AHEAD: Final = timedelta(days=1)
"""How far ahead of our clock a statement may be dated; one from next year would win for a year."""

# Addresses that are in their one spelling already: most are, and reading twice is not cheap.
_SPELT: Final = re.compile(r"[a-z0-9._+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.ASCII)
# Control characters, and halves of characters that no encoding can carry.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Subscription = Literal["subscribed", "unsubscribed"]


class Refused(NeverRetry):
    """A change that can never be applied; the text says which part of it and why."""


class ConsentRecord(NamedTuple):
    """What a supporter agreed to, where and when. `at` in milliseconds."""

    at: int
    wording: str
    source: str


class TrackingRecord(NamedTuple):
    """What a supporter lets us see, in which words, where and when. `at` in milliseconds."""

    at: int
    allows: TrackingLevel
    wording: str
    source: str


@dataclass(slots=True)
class Statement:
    """What one change says, clean. `at` in milliseconds; None as a value takes it back.

    Not frozen, like `Profile`: an import makes thousands a second, and freezing costs half of it.

    `address_key` belongs to the email in `fields`; None when none is stated or it is no address.
    `subscription` is None unless the one who states it may say so.
    """

    supporter_id: str
    at: int
    source: str
    fields: dict[str, str | None]
    attributes: dict[str, AttributeValue]
    tags: dict[str, bool]
    areas: dict[str, str | None]
    address_key: str | None
    identity: tuple[str, str] | None
    consent: ConsentRecord | None
    subscription: Subscription | None
    topics: dict[str, bool]
    tracking: TrackingRecord | None


def read_statement(change: SupporterChanged, secret: bytes, now: datetime) -> Statement:
    """The clean statement of a change. Raises Refused."""
    fields: dict[str, str | None] = {
        name: _text(change.profile[name], name, LONGEST_FIELD)
        for name in FIELDS
        if name in change.profile
    }
    key = None
    if fields.get("email"):
        fields["email"], key = _address(fields["email"] or "", secret)
    return Statement(
        supporter_id=_name(change.supporter_id, "the supporter's id"),
        at=_moment(change.at, now),
        source=_name(change.source, "the source"),
        fields=fields,
        attributes={
            _name(name, "an attribute's name"): _value(name, value)
            for name, value in change.attributes.items()
        },
        tags={
            **{_name(tag, "a tag"): True for tag in change.tags_added},
            **{_name(tag, "a tag"): False for tag in change.tags_removed},
        },
        areas={
            _name(kind, "an area's kind"): _text(code, f"the {kind}", LONGEST_NAME)
            for kind, code in change.given_areas.items()
        },
        address_key=key,
        identity=_identity(change),
        consent=_consent(change.consent, now),
        subscription=_subscription(change),
        topics={
            _name(topic, "a topic"): wanted
            for topic, wanted in change.topics.items()
            if not wanted or change.stated_by in ("supporter", "console")
        },
        tracking=_tracking(change.tracking, now),
    )


def address_problem(email: str) -> str | None:
    """Why this cannot be mailed as an address, or None when it can."""
    try:
        normalise_address(email)
    except BadAddress as bad:
        return str(bad)
    return None


def _address(text: str, secret: bytes) -> tuple[str, str | None]:
    """Its one spelling and its key; as it stands and None when it is no address."""
    try:
        key = address_key(text, secret)
        return text if _SPELT.fullmatch(text) else normalise_address(text), key
    except BadAddress:
        return text, None


def _subscription(change: SupporterChanged) -> Subscription | None:
    """Anyone may unsubscribe someone. Back come only people themselves, or whom a person at the
    console subscribes on the record of a consent; never by an import or the API.
    """
    if change.subscription != "subscribed":
        return change.subscription
    by_hand = change.stated_by == "console" and change.consent is not None
    return "subscribed" if by_hand or change.stated_by == "supporter" else None


def _identity(change: SupporterChanged) -> tuple[str, str] | None:
    if change.identity is None:
        return None
    return (
        _name(change.identity.source, "the source of the external id"),
        _name(change.identity.external_id, "the external id"),
    )


def _consent(consent: Consent | None, now: datetime) -> ConsentRecord | None:
    if consent is None:
        return None
    source = _name(consent.source, "the source of the consent")
    return ConsentRecord(_moment(consent.at, now), _wording(consent.wording, "consent"), source)


def _tracking(choice: TrackingChoice | None, now: datetime) -> TrackingRecord | None:
    if choice is None:
        return None
    source = _name(choice.source, "the source of the choice of tracking")
    wording = _wording(choice.wording, "choice of tracking")
    return TrackingRecord(_moment(choice.at, now), choice.allows, wording, source)


def _wording(text: str, what: str) -> str:
    wording = " ".join(_plain(text).split())
    if not wording:
        raise Refused(f"the {what} has no wording: say what the supporter agreed to")
    if len(wording) > 10 * LONGEST_FIELD:
        raise Refused(f"the wording of the {what} is longer than {10 * LONGEST_FIELD} characters")
    return wording


def _moment(at: datetime, now: datetime) -> int:
    if at.tzinfo is None:
        raise Refused("a time without its zone: say which moment it is")
    if at > now + AHEAD:
        raise Refused(
            f"dated {at.isoformat()}, more than a day ahead: it would win over every later change"
        )
    return to_ms(at)


def _value(name: str, value: AttributeValue) -> AttributeValue:
    if value is None:
        return None
    try:
        kept = storable(_plain(value) if isinstance(value, str) else value)
    except Unstorable as error:
        raise Refused(f"attribute {name[:LONGEST_NAME]}: {error}") from error
    return kept


def _name(text: str, what: str) -> str:
    name = _text(text, what, LONGEST_NAME)
    if name is None:
        raise Refused(f"{what} is empty")
    return name


def _text(text: str | None, what: str, longest: int) -> str | None:
    """Plain and trimmed, white space single; None for nothing."""
    if text is None:
        return None
    plain = text if text.isprintable() and "  " not in text else " ".join(_plain(text).split())
    plain = plain.strip()
    if len(plain) > longest:
        raise Refused(f"{what} is longer than {longest} characters")
    return plain or None


def _plain(text: str) -> str:
    """Control characters become spaces (a line end in a name would end a header)."""
    if text.isprintable():
        return text
    return _CONTROL.sub(" ", text)
