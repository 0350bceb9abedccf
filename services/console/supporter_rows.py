"""What one row of a supporters file states, or why it cannot be taken. Pure.

As strict as the segmenter is, so that no row of a file ends as a dead letter. An empty cell says
nothing: it never takes back what is known.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Final, Literal

from services.console.columns import Fields, bad_kind, family_of
from services.console.csv_files import Row
from services.console.role_addresses import role_of
from shared.ids import AddressKey, BadAddress, address_key, normalise_address
from shared.programme.checks.wording import bad_language
from shared.wire.supporters import AttributeValue, Consent

ATTRIBUTE: Final = "attribute."
AREA: Final = "area."
FIELDS: Final = Fields(
    (
        "external_id", "email", "first_name", "last_name", "postcode", "language", "tags",
        "consent_wording", "consent_source", "consent_at",
    ),
    (ATTRIBUTE, AREA),
)  # fmt: skip
PROFILE: Final = ("first_name", "last_name", "postcode", "language")

LONGEST_FIELD: Final = 1_000
LONGEST_NAME: Final = 200
LONGEST_TEXT: Final = 10_000

Flag = Literal["role address", "no consent", "no address", "postcode unknown", "postcode malformed"]
Shape = Literal["number", "yes_no", "text"]

_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,12})?")
_ENCODE: Final = json.JSONEncoder(sort_keys=True).encode
_YES_NO: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is not taken, and why. The reason quotes no address and no name."""

    line: int
    reason: str


@dataclass(frozen=True)
class Supporter:
    """What a row states. `key` belongs to `email`; both None for a person without an address."""

    line: int
    external_id: str | None
    email: str | None
    key: AddressKey | None
    profile: Mapping[str, str]
    attributes: Mapping[str, AttributeValue]
    tags: tuple[str, ...]
    areas: Mapping[str, str]
    consent: Consent | None
    flags: frozenset[Flag] = frozenset()

    @cached_property
    def digest(self) -> str:
        """The same for the same statement, wherever the row stands."""
        consent = self.consent
        said = [
            self.email,
            dict(self.profile),
            dict(self.attributes),
            sorted(self.tags),
            dict(self.areas),
            [consent.wording, consent.source, consent.at.isoformat()] if consent else None,
        ]
        return hashlib.blake2b(_ENCODE(said).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class GivenConsent:
    """What was said of everybody's consent beside the file; a cell of the row wins."""

    wording: str = ""
    source: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are read: columns by field, the shape of each attribute, what holds for all."""

    columns: Mapping[str, int]
    shapes: Mapping[str, Shape]
    secret: bytes
    now: datetime
    language: str | None = None
    consent: GivenConsent = GivenConsent()


class _Wrong(ValueError):
    """Why a row cannot be taken."""


@dataclass(slots=True)
class Shapes:
    """Learns over a whole file what each attribute is, so that one odd row decides for none."""

    columns: Mapping[str, int]
    _seen: dict[str, set[Shape]] = field(default_factory=dict)

    def look(self, row: Row) -> None:
        """Take note of one row."""
        for name, index in self.columns.items():
            text = row.cells[index]
            if text and name.startswith(ATTRIBUTE):
                self._seen.setdefault(name, set()).add(_shape(text))

    def found(self) -> dict[str, Shape]:
        """Field to shape: text as soon as two kinds of values are mixed."""
        return {
            name: next(iter(shapes)) if len(shapes) == 1 else "text"
            for name, shapes in self._seen.items()
        }


def read_supporter(row: Row, reading: Reading) -> Supporter | Refusal:
    """The statement of a row, or why it is refused."""
    try:
        return _supporter(row, reading)
    except _Wrong as wrong:
        return Refusal(row.line, str(wrong))


def read_day(text: str) -> datetime:
    """A date or a time, ISO 8601; without a zone it is UTC. Raises ValueError with a sentence."""
    try:
        if len(text) <= 10:
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write it like 2026-03-21 or 2026-03-21T18:30+00:00") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _supporter(row: Row, reading: Reading) -> Supporter:
    def cell(name: str) -> str:
        index = reading.columns.get(name)
        return "" if index is None else _plain(row.cells[index])

    email, key = _address(cell("email"), reading.secret)
    external_id = _short(cell("external_id"), "external_id") or None
    if email is None and external_id is None:
        raise _Wrong("neither an external_id nor an email: nobody is named")
    profile = {name: _short(cell(name), name, LONGEST_FIELD) for name in PROFILE if cell(name)}
    if reading.language and "language" not in profile:
        profile["language"] = reading.language
    if "language" in profile and (wrong := bad_language(profile["language"])):
        raise _Wrong(f"language: {wrong[0]}; {wrong[1]}")
    consent = _consent(cell, reading)
    flags: set[Flag] = set()
    if email is None:
        flags.add("no address")
    elif role_of(email) == "role":
        flags.add("role address")
    if consent is None:
        flags.add("no consent")
    return Supporter(
        row.line, external_id, email, key, profile,
        attributes=_attributes(cell, reading),
        tags=_tags(cell("tags")),
        areas=_areas(cell, reading.columns),
        consent=consent,
        flags=frozenset(flags),
    )  # fmt: skip


def _address(text: str, secret: bytes) -> tuple[str | None, AddressKey | None]:
    if not text:
        return None, None
    try:
        email = normalise_address(text)
    except BadAddress as bad:
        raise _Wrong(f"email: no address that mail can reach: {bad}") from bad
    if role_of(email) == "never":
        raise _Wrong("email: a technical mailbox (as abuse@ or noreply@), which is never mailed")
    return email, address_key(email, secret)


def _consent(cell: Callable[[str], str], reading: Reading) -> Consent | None:
    """Wording, source and time, by column or else by option; without all three, none."""
    wording = cell("consent_wording") or reading.consent.wording
    source = cell("consent_source") or reading.consent.source
    said = cell("consent_at")
    try:
        at = read_day(said) if said else reading.consent.at
    except ValueError as wrong:
        raise _Wrong(f'consent_at: "{said[:40]}" is no date: {wrong}') from wrong
    if at is not None and at > reading.now + timedelta(days=1):
        raise _Wrong("consent_at: in the future")
    if not wording or not source or at is None:
        return None
    if len(wording) > LONGEST_TEXT:
        raise _Wrong(f"consent_wording: longer than {LONGEST_TEXT:,} characters")
    return Consent(wording=wording, source=_short(source, "consent_source"), at=at)


def _attributes(cell: Callable[[str], str], reading: Reading) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for name in reading.columns:
        attribute = family_of(name, ATTRIBUTE)
        text = cell(name) if attribute else ""
        if attribute and text:
            if len(text) > LONGEST_TEXT:
                raise _Wrong(f"{name}: longer than {LONGEST_TEXT:,} characters")
            found[_short(attribute, name)] = _value(text, reading.shapes.get(name, "text"))
    return found


def _areas(cell: Callable[[str], str], columns: Mapping[str, int]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in columns:
        kind = family_of(name, AREA)
        if kind and cell(name):
            if wrong := bad_kind(kind):
                raise _Wrong(wrong)
            found[kind] = _short(cell(name), name)
    return found


def _tags(text: str) -> tuple[str, ...]:
    tags = (tag.strip() for tag in text.split(";"))
    return tuple(dict.fromkeys(_short(tag, "tags") for tag in tags if tag))


def _short(text: str, name: str, longest: int = LONGEST_NAME) -> str:
    if len(text) > longest:
        raise _Wrong(f"{name}: longer than {longest:,} characters")
    return text


def _plain(text: str) -> str:
    """Control characters and runs of blanks become one blank each."""
    if text.isprintable() and "  " not in text:
        return text
    spaced = "".join(ch if ch >= " " and not "\x7f" <= ch <= "\x9f" else " " for ch in text)
    return " ".join(spaced.split())


def _shape(text: str) -> Shape:
    if text.casefold() in _YES_NO:
        return "yes_no"
    return "number" if _NUMBER.fullmatch(text) else "text"


def _value(text: str, shape: Shape) -> AttributeValue:
    if shape == "yes_no":
        return _YES_NO[text.casefold()]
    if shape == "number":
        number = float(text)
        return int(text) if "." not in text else number if math.isfinite(number) else text
    return text
