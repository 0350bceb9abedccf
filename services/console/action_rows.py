"""What one row of an actions file says somebody did, or why it cannot be taken. Pure.

Doorstep sheets, phone banks, sign-in lists. No address ever comes into an event: the person is
named by their id, and a property that holds an address is refused.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from services.console.columns import Fields, family_of
from services.console.csv_files import Row
from services.console.identities import Person
from services.console.supporter_rows import LONGEST_NAME, Refusal
from shared.ids import BadAddress, address_key, event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import EVENTS
from shared.programme.checks.wording import strange_action
from shared.programme.moments import BadMoment, parse_moment
from shared.wire.cloudevents import encode
from shared.wire.events import Event
from shared.wire.supporters import AttributeValue

PROPERTY: Final = "property."
FIELDS: Final = Fields(("supporter_id", "external_id", "email", "action", "at"), (PROPERTY,))
AHEAD: Final = timedelta(minutes=5)
LONGEST_PROPERTY: Final = 500

_ACTION: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ADDRESS: Final = re.compile(r"[^\s()<>\[\];,\"']+@[^\s()<>\[\];,\"']+")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,12})?")


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did. Exactly one of `supporter_id` and `person` is given."""

    line: int
    supporter_id: str | None
    person: Person | None
    action: str
    at: datetime
    properties: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are read. `zone`: of times without one; `action`, `at`: for rows that say none.

    `own_actions`: names that only look like misspelt ones.
    """

    columns: Mapping[str, int]
    source: str
    secret: bytes
    zone: ZoneInfo
    now: datetime
    action: str = ""
    at: datetime | None = None
    own_actions: frozenset[str] = frozenset()


class _Wrong(ValueError):
    """Why a row cannot be taken."""


def read_act(row: Row, reading: Reading) -> Act | Refusal:
    """The action of a row, or why it is refused."""
    try:
        return _act(row, reading)
    except _Wrong as wrong:
        return Refusal(row.line, str(wrong))


def act_record(act: Act, supporter_id: str, partitions: int) -> Record:
    """The event. The same person, action and moment is the same event, however often imported."""
    event = Event(
        kind="acted",
        supporter_id=supporter_id,
        at=act.at,
        action=act.action,
        properties=dict(act.properties),
    )
    return encode(
        event,
        id=event_id("acted", "import", supporter_id, act.action, act.at.isoformat()),
        source="console",
        subject=supporter_id,
        time=act.at,
        topic=EVENTS,
        partition=partition_of(supporter_id, partitions),
        key=supporter_id,
        type_name="doorstep.acted",
    )


def read_moment(text: str, zone: ZoneInfo) -> datetime:
    """A time, or a day (its beginning), in UTC; without a zone in `zone`. Raises ValueError."""
    plain = text.strip()
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", plain):
            begins = datetime.combine(date.fromisoformat(plain), time(), zone)
            return begins.astimezone(UTC)
        try:
            return parse_moment(plain).astimezone(UTC)
        except BadMoment as wrong:
            if "no time zone" not in str(wrong):
                raise
            return parse_moment(f"{plain} {zone.key}").astimezone(UTC)
    except BadMoment as wrong:
        raise ValueError(f"{wrong}: {wrong.hint}") from wrong


def _act(row: Row, reading: Reading) -> Act:
    def cell(name: str) -> str:
        index = reading.columns.get(name)
        return "" if index is None else " ".join(row.cells[index].split())

    action = cell("action").casefold() or reading.action
    if not _ACTION.fullmatch(action):
        what = f'"{action[:40]}" cannot be the name of an action' if action else "empty"
        raise _Wrong(f"action: {what}; name it as volunteered, pledged, donated, voted ...")
    if action not in reading.own_actions and (wrong := strange_action(action)):
        raise _Wrong(f"action: {wrong[0]}; {wrong[1]} If not, say --own-action {action}")
    supporter_id, person = _who(cell, reading)
    return Act(
        row.line, supporter_id, person, action, _at(cell, reading), _properties(cell, reading)
    )


def _who(cell: Callable[[str], str], reading: Reading) -> tuple[str | None, Person | None]:
    said = cell("supporter_id")
    if said:
        try:
            return str(uuid.UUID(said)), None
        except ValueError as error:
            raise _Wrong("supporter_id: this is no supporter id of Doorstep") from error
    external_id = cell("external_id")
    if external_id:
        if len(external_id) > LONGEST_NAME:
            raise _Wrong(f"external_id: longer than {LONGEST_NAME} characters")
        return None, Person(reading.source, external_id)
    email = cell("email")
    if not email:
        raise _Wrong("nobody is named: give supporter_id, external_id or email")
    try:
        return None, Person(key=address_key(email, reading.secret))
    except BadAddress as bad:
        raise _Wrong(f"email: no address that mail can reach: {bad}") from bad


def _at(cell: Callable[[str], str], reading: Reading) -> datetime:
    said = cell("at")
    if not said:
        if reading.at is None:
            raise _Wrong("at: empty; say when it happened")
        return reading.at
    try:
        at = read_moment(said, reading.zone)
    except ValueError as wrong:
        raise _Wrong(f"at: {wrong}") from wrong
    if at > reading.now + AHEAD:
        raise _Wrong("at: in the future; import what has happened")
    return at


def _properties(cell: Callable[[str], str], reading: Reading) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for name in reading.columns:
        key = family_of(name, PROPERTY)
        text = cell(name) if key else ""
        if not key or not text:
            continue
        if _ADDRESS.search(text):
            raise _Wrong(f"{name}: holds a mail address, and events hold none")
        if len(text) > LONGEST_PROPERTY:
            raise _Wrong(f"{name}: longer than {LONGEST_PROPERTY} characters")
        found[key] = _value(text)
    return found


def _value(text: str) -> AttributeValue:
    if text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text
