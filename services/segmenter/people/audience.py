"""Who a rule means, among those who may be mailed: counting, listing, and looking up by id.

Consent and suppression are implied here and nowhere else. Nothing is written, and every question
states its `as_of`. Any connection to the store will do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, get_args

from services.segmenter.people import samples
from services.segmenter.people.ownership import Owned
from services.segmenter.people.rules_sql import Asked, Condition, compile_rule
from services.segmenter.people.withdrawals import EVERYTHING
from shared.programme.rules import Rule
from shared.store.database import Database
from shared.wire.supporters import FREQUENCY, AttributeValue, Frequency, TrackingLevel
from shared.wire.suppressions import FOR_NOW

PIXEL_CONSENT: Final = "pixel_consent"
"""The attribute that says somebody consented to the tracking pixel."""

_SUPPRESSED: Final = """exists (select 1 from suppression x
    where x.subject = s.{subject} and x.scope in ({marks}))"""
_COUNT: Final = """
    select case when s.standing <> 'mailable' then s.standing
            when {suppressed} then 'suppressed' else 'mailable' end,
        count(*),
        sum(case when s.place_status in ('known', 'given') then 0 else 1 end)
    from supporter s where {owned} and {condition} group by 1"""
_ANYBODY: Final = """
    select s.supporter_id, s.address_key, p.email, p.first_name, p.last_name, p.language,
        p.postcode, s.latitude, s.longitude, p.attributes, p.areas, p.tracking
    from supporter s join profile p on p.supporter_id = s.supporter_id
    where {who}"""
_MEMBERS: Final = f"""{_ANYBODY} and s.standing = 'mailable' and {{free}}
    order by s.supporter_id"""
_LACKING: Final = """
    select count(*){columns}
    from supporter s join profile p on p.supporter_id = s.supporter_id
    where {owned} and {condition} and s.standing = 'mailable' and {free}"""
_LACKS_FIELD: Final = ", coalesce(sum(case when {empty} then 1 else 0 end), 0)"
_EMPTY: Final[Mapping[str, str]] = {
    "first_name": "coalesce(p.first_name, '') = ''",
    "last_name": "coalesce(p.last_name, '') = ''",
    "name": "coalesce(p.first_name, '') = '' and coalesce(p.last_name, '') = ''",
    "postcode": "coalesce(p.postcode, '') = ''",
}
"""When a field of a supporter is empty in a mail; `language` never is."""
_NO_ATTRIBUTE: Final = """not exists (select 1 from supporter_attribute a
    where a.name = ? and a.supporter_id = s.supporter_id and a.value <> '')"""
_AUDIENCE: Final = """
    select s.supporter_id, s.address_key, p.areas
    from supporter s join profile p on p.supporter_id = s.supporter_id
    where s.partition = ? and s.supporter_id > ? and {condition}
    and s.standing = 'mailable' and {free}
    order by s.supporter_id limit ?"""
PAGE: Final = 50_000
"""People of an audience at a time: some 25 MB."""

_GIVEN: Final = "s.supporter_id in (select value from json_each(?))"
_HOLDING: Final = f"select s.supporter_id from supporter s where {_GIVEN} and {{condition}}"
_DONE: Final = """
    select distinct supporter_id from action
    where supporter_id in (select value from json_each(?))
    and action in (select value from json_each(?))"""


@dataclass(frozen=True, slots=True)
class Member:
    """A supporter who may be mailed, with everything a mail needs. `areas`: kind to code."""

    supporter_id: str
    address_key: str
    email: str
    first_name: str | None
    last_name: str | None
    language: str | None
    postcode: str | None
    latitude: float | None
    longitude: float | None
    attributes: Mapping[str, AttributeValue]
    areas: Mapping[str, str]
    tracking: TrackingLevel | None = None

    @property
    def links(self) -> bool:
        """Whether links that tell who followed them may be in their mail."""
        return self.tracking != "none"

    def pixel(self, *, needs_consent: bool) -> bool:
        """Whether the pixel may be: by their own choice, else by what was imported (attribute
        `pixel_consent`), else as the law has it for those who said nothing.
        """
        if self.tracking is not None:
            return self.tracking == "all"
        if PIXEL_CONSENT in self.attributes:
            return self.attributes[PIXEL_CONSENT] is True
        return not needs_consent

    @property
    def frequency(self) -> Frequency:
        """How often they want mail; everything unless they chose otherwise."""
        chosen = self.attributes.get(FREQUENCY)
        return next((each for each in get_args(Frequency) if each == chosen), "everything")


class Chosen(NamedTuple):
    """A supporter of an audience: what is fixed when it is frozen. `areas`: kind to code."""

    supporter_id: str
    address_key: str
    areas: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Counted:
    """`matching` = `mailable` + the sum of `left_out` (each person under their first reason).

    The reasons are those of `standing`, and `suppressed` for what only the suppressions table
    knows. `unplaced`: of the mailable, those without a known postcode or a given area.
    """

    matching: int
    mailable: int
    left_out: Mapping[str, int]
    unplaced: int


def count(
    connection: Database,
    rule: Rule,
    as_of: datetime,
    owned: Owned,
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Counted:
    """How many of the owned match, how many of them may be mailed, and why the others may not.

    `topic` and `send_id` add the suppressions of those scopes. Raises RuleUnusable.
    """
    condition = _compiled(connection, rule, as_of, "everyone")
    person, inbox = _suppressed(topic, send_id)
    by_reason = {}
    unplaced = 0
    sql = _COUNT.format(
        owned=owned.sql("s.partition"),
        condition=condition.sql,
        suppressed=f"({person.sql} or {inbox.sql})",
    )
    for reason, number, without_place in connection.execute(
        sql,
        (*person.parameters, *inbox.parameters, *condition.parameters),
    ):
        by_reason[reason] = number
        if reason == "mailable":
            unplaced = without_place
    mailable = by_reason.pop("mailable", 0)
    return Counted(mailable + sum(by_reason.values()), mailable, by_reason, unplaced)


def audience(
    connection: Database,
    rule: Rule,
    as_of: datetime,
    partition: int,
    *,
    topic: str | None = None,
    send_id: str | None = None,
    page: int = PAGE,
) -> Iterator[list[Chosen]]:
    """The mailable members of one partition, by supporter_id, in pages of bounded size.

    Each page is a question of its own: ask inside a unit, where nobody else writes the partition.
    Raises RuleUnusable.
    """
    condition = _compiled(connection, rule, as_of, "partition")
    free = _free(topic, send_id)
    sql = _AUDIENCE.format(condition=condition.sql, free=free.sql)
    after = ""
    while True:
        values = (partition, after, *condition.parameters, *free.parameters, page)
        found = [
            Chosen(supporter_id, address_key, _codes(areas))
            for supporter_id, address_key, areas in connection.execute(sql, values)
        ]
        if found:
            yield found
        if len(found) < page:
            return
        after = found[-1].supporter_id


def members_by_id(
    connection: Database,
    supporter_ids: Iterable[str],
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Iterator[Member]:
    """Those of the given who may be mailed now, by supporter_id; the others are absent."""
    who = Condition(_GIVEN, (json.dumps(list(supporter_ids)),))
    return _members(connection, who, topic, send_id)


def anybody(connection: Database, supporter_id: str) -> Member | None:
    """One supporter, mailable or not, without an address where none is known: for previews."""
    who = _ANYBODY.format(who="s.supporter_id = ?")
    row = next(iter(connection.execute(who, (supporter_id,))), None)
    return None if row is None else _member((row[0], row[1] or "", row[2] or "", *row[3:]))


class Lacking(NamedTuple):
    """How many may be mailed, and how many of them lack each field and each attribute."""

    mailable: int
    fields: Mapping[str, int]
    attributes: Mapping[str, int]


def lacking(
    connection: Database,
    rule: Rule,
    as_of: datetime,
    owned: Owned,
    fields: Iterable[str],
    attributes: Iterable[str],
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Lacking:
    """Of the owned whom the rule means and who may be mailed. What is empty counts as lacking.

    Fields are those of a supporter in a mail; an unknown one is lacked by nobody. Raises
    RuleUnusable.
    """
    condition, free = _compiled(connection, rule, as_of, "everyone"), _free(topic, send_id)
    known = [field for field in dict.fromkeys(fields) if field in _EMPTY]
    named = list(dict.fromkeys(attributes))
    columns = [_LACKS_FIELD.format(empty=_EMPTY[field]) for field in known]
    columns += [_LACKS_FIELD.format(empty=_NO_ATTRIBUTE)] * len(named)
    sql = _LACKING.format(
        columns="".join(columns), owned=owned.sql("s.partition"), condition=condition.sql,
        free=free.sql,
    )  # fmt: skip
    ((mailable, *counts),) = connection.execute(
        sql, (*named, *condition.parameters, *free.parameters)
    )
    numbers = [int(count) for count in counts]
    return Lacking(
        int(mailable),
        dict(zip(known, numbers, strict=False)),
        dict(zip(named, numbers[len(known) :], strict=True)),
    )


def holding(
    connection: Database, rule: Rule, as_of: datetime, supporter_ids: Iterable[str]
) -> set[str]:
    """Those of the given for whom the rule holds, mailable or not. Raises RuleUnusable."""
    condition = _compiled(connection, rule, as_of, "given")
    return {
        supporter_id
        for (supporter_id,) in connection.execute(
            _HOLDING.format(condition=condition.sql),
            (json.dumps(list(supporter_ids)), *condition.parameters),
        )
    }


def done_any(
    connection: Database, supporter_ids: Iterable[str], actions: Iterable[str]
) -> set[str]:
    """Those of the given who ever did one of the actions (what `unless_done` asks)."""
    asked = (json.dumps(list(supporter_ids)), json.dumps(list(actions)))
    return {supporter_id for (supporter_id,) in connection.execute(_DONE, asked)}


def scopes(topic: str | None, send_id: str | None) -> list[str]:
    """The scopes of suppressions that stop a mail of this topic and send."""
    found = [EVERYTHING, FOR_NOW]
    if topic is not None:
        found.append(f"topic:{topic}")
    if send_id is not None:
        found.append(f"send:{send_id}")
    return found


def _compiled(connection: Database, rule: Rule, as_of: datetime, asked: Asked) -> Condition:
    samples.teach(connection)
    return compile_rule(rule, as_of, asked)


def _suppressed(topic: str | None, send_id: str | None) -> tuple[Condition, Condition]:
    """That the person, and that their inbox, is suppressed."""
    wanted = scopes(topic, send_id)
    marks = ", ".join("?" * len(wanted))
    person, inbox = (
        Condition(_SUPPRESSED.format(subject=subject, marks=marks), tuple(wanted))
        for subject in ("supporter_id", "address_key")
    )
    return person, inbox


def _free(topic: str | None, send_id: str | None) -> Condition:
    """That neither is; two conditions, because PostgreSQL makes a join of each."""
    person, inbox = _suppressed(topic, send_id)
    return Condition(
        f"not {person.sql} and not {inbox.sql}", (*person.parameters, *inbox.parameters)
    )


def _members(
    connection: Database, who: Condition, topic: str | None, send_id: str | None
) -> Iterator[Member]:
    free = _free(topic, send_id)
    sql = _MEMBERS.format(who=who.sql, free=free.sql)
    for row in connection.execute(sql, (*who.parameters, *free.parameters)):
        yield _member(row)


def _member(row: tuple[Any, ...]) -> Member:
    (
        supporter_id, address_key, email, first_name, last_name, language, postcode,
        latitude, longitude, attributes, areas, tracking,
    ) = row  # fmt: skip
    return Member(
        supporter_id, address_key, email, first_name, last_name, language, postcode,
        latitude, longitude, json.loads(attributes), _codes(areas), tracking,
    )  # fmt: skip


def _codes(areas: str) -> dict[str, str]:
    return {kind: entry[0] for kind, entry in json.loads(areas).items()}
