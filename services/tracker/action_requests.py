"""Reads what the campaign's own site says of an action. Pure: bytes in, a raw hit or a refusal.

Every refusal says what was wrong, where, and what to do. A field that is not known is refused, so
that a misspelt one is never silently dropped.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any, Final, Never

from services.tracker.facts import has_address
from services.tracker.raw_hits import ActionHit, Bearer
from shared.clock import to_ms
from shared.errors import NeverRetry
from shared.ids import (
    BadAddress,
    address_key,
    normalise_address,
    supporter_id_from_address,
    supporter_id_from_external,
)
from shared.wire.supporters import AttributeValue

FIELDS: Final = frozenset(
    {"id", "action", "token", "supporter_id", "source", "external_id", "email", "at", "properties"}
)
SKEW: Final = timedelta(seconds=60)
"""How far ahead of ours another machine's clock may be."""

_ACTION: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_PROPERTY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_TEXT: Final = 500
_LONGEST_NAME: Final = 200
_MOST_PROPERTIES: Final = 50
_LARGEST_NUMBER: Final = 2**63


class Refused(NeverRetry):
    """A request that is not recorded; `status` is its HTTP status."""

    def __init__(self, status: int, what: str, where: str, what_to_do: str) -> None:
        super().__init__(f"{where}: {what}")
        self.status, self.what, self.where, self.what_to_do = status, what, where, what_to_do


@dataclass(frozen=True, slots=True)
class Reading:
    """What is needed besides the request. `bearer_of` verifies a token; None: not one of ours."""

    bearer_of: Callable[[str], Bearer | None]
    secret: bytes
    now: datetime


@dataclass(frozen=True, slots=True)
class _Person:
    """Who acted, and how they were named where that is worth keeping."""

    supporter_id: str
    email: str | None = None
    source: str | None = None
    external_id: str | None = None


def read_action(body: bytes, idempotency_key: str | None, reading: Reading) -> ActionHit:
    """The hit. Raises Refused with status 400, 404 or 422."""
    fields = _fields(body)
    key = _key(fields, idempotency_key)
    bearer = _bearer(fields, reading)
    person = _person(fields, bearer, reading.secret)
    return ActionHit(
        at_ms=to_ms(_at(fields, reading.now)),
        received_ms=to_ms(reading.now),
        key_hash=blake2b(key.encode(), digest_size=16).hexdigest(),
        action=_action(fields),
        supporter_id=person.supporter_id,
        bearer=bearer,
        email=person.email,
        source=person.source,
        external_id=person.external_id,
        properties=_properties(fields),
    )


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body, parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode()  # half a character is no text
    except (ValueError, RecursionError):
        raise Refused(400, "not JSON", "the body", "send one JSON object in UTF-8") from None
    if not isinstance(found, dict):
        _wrong("not a JSON object", "the body", 'send an object: {"action": "volunteered", ...}')
    for name in found:
        if name not in FIELDS:
            known = ", ".join(sorted(FIELDS))
            _wrong("there is no such field", name[:_LONGEST_NAME], f"use some of: {known}")
    # A null says nothing, as if the field were absent.
    return {name: value for name, value in found.items() if value is not None}


def _key(fields: Mapping[str, Any], header: str | None) -> str:
    said = _text(fields, "id") if "id" in fields else None
    if header and said and header != said:
        _wrong("differs from the header Idempotency-Key", "id", "send one of the two")
    key = header or said
    if not key:
        raise Refused(
            400,
            "no idempotency key",
            "the header Idempotency-Key",
            "send a key of your own for each action, the same on every retry (or `id` in the body)",
        )
    if len(key) > _LONGEST_NAME:
        _wrong(f"longer than {_LONGEST_NAME} characters", "Idempotency-Key", "send a shorter one")
    return key


def _action(fields: Mapping[str, Any]) -> str:
    action = _text(fields, "action") if "action" in fields else ""
    if not _ACTION.fullmatch(action):
        _wrong(
            "missing, or not a name of an action",
            "action",
            "name it in small letters, digits, - and _: volunteered, pledged, donated, ...",
        )
    return action


def _at(fields: Mapping[str, Any], now: datetime) -> datetime:
    if "at" not in fields:
        return now
    try:
        at = datetime.fromisoformat(_text(fields, "at"))
        if at.tzinfo is None:
            raise ValueError
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        _wrong(
            "not a time with a time zone", "at", "write it as 2026-05-07T18:30:00+01:00 (ISO 8601)"
        )
    if at > now + SKEW:
        _wrong("in the future", "at", "send actions when they have happened; check the clock")
    if at.timestamp() < 0:
        _wrong("before 1970", "at", "send the time at which it happened")
    return min(at, now)


def _bearer(fields: Mapping[str, Any], reading: Reading) -> Bearer | None:
    if "token" not in fields:
        return None
    bearer = reading.bearer_of(_text(fields, "token"))
    if bearer is None:
        raise Refused(
            404,
            "not a token of ours: forged, cut short, or of another installation",
            "token",
            "send the value of `d` as it stood in the address the supporter came by",
        )
    return bearer


def _person(fields: Mapping[str, Any], bearer: Bearer | None, secret: bytes) -> _Person:
    """Who is named; the token's supporter when nobody is."""
    if ("source" in fields) != ("external_id" in fields):
        _wrong("one without the other", "source, external_id", "send both or none")
    if "supporter_id" in fields:
        if fields.keys() & {"source", "external_id", "email"}:
            _wrong("more than one name for the person", "supporter_id", "name the person one way")
        return _Person(_supporter_id(fields))
    email = _email(fields) if "email" in fields else None
    if "external_id" in fields:
        source, external_id = _name(fields, "source"), _name(fields, "external_id")
        supporter_id = supporter_id_from_external(source, external_id, secret)
        return _Person(supporter_id, email, source, external_id)
    if email is not None:
        return _Person(supporter_id_from_address(address_key(email, secret), secret), email)
    if bearer is None:
        _wrong(
            "nobody is named",
            "the body",
            "send `token`, `supporter_id`, `source` with `external_id`, or `email`",
        )
    return _Person(bearer.supporter_id)


def _supporter_id(fields: Mapping[str, Any]) -> str:
    try:
        return str(uuid.UUID(_text(fields, "supporter_id")))
    except ValueError:
        _wrong("not a supporter id", "supporter_id", "send it as Doorstep wrote it, or use `email`")


def _email(fields: Mapping[str, Any]) -> str:
    try:
        return normalise_address(_text(fields, "email"))
    except BadAddress as error:
        _wrong(f"not a mail address: {error}", "email", "send it as the supporter typed it")


def _name(fields: Mapping[str, Any], field: str) -> str:
    name = _text(fields, field).strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        _wrong(
            f"empty, longer than {_LONGEST_NAME} characters, or with control characters",
            field,
            "send it as in your imports",
        )
    return name


def _properties(fields: Mapping[str, Any]) -> dict[str, AttributeValue]:
    found = fields.get("properties", {})
    if not isinstance(found, dict) or len(found) > _MOST_PROPERTIES:
        _wrong(
            f"not an object of at most {_MOST_PROPERTIES} properties",
            "properties",
            'send an object of plain values: {"amount": 25}',
        )
    return {name: _property(name, value) for name, value in found.items()}


def _property(name: str, value: object) -> AttributeValue:
    where = f"properties.{name[:_LONGEST_NAME]}"
    if not _PROPERTY.fullmatch(name):
        _wrong("not a name of a property", where, "use letters, digits, _ - and . only")
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < _LARGEST_NUMBER:
        return value
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        _wrong(
            f"not a text of at most {_LONGEST_TEXT} characters, a number, true, false or null",
            where,
            "send plain values; keep lists and long texts in your own records",
        )
    if has_address(value) or _is_ip(value):
        _wrong(
            "holds a mail or IP address",
            where,
            "events hold none: leave it out; name the person by `email` at the top",
        )
    return value


def _is_ip(text: str) -> bool:
    try:
        ip_address(text.strip())
    except ValueError:
        return False
    return True


def _text(fields: Mapping[str, Any], field: str) -> str:
    value = fields[field]
    if not isinstance(value, str):
        _wrong("not a text", field, "send a JSON string")
    return value


def _wrong(what: str, where: str, what_to_do: str) -> Never:
    raise Refused(422, what, where, what_to_do)


def _no_constant(_: str) -> Never:
    raise ValueError("NaN and Infinity are not JSON")
