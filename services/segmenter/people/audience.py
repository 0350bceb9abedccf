"""Who a rule means, among those who may be mailed: counting, listing, and looking up by id.

Consent and suppression are implied here and nowhere else. Nothing is written, and every question
states its `as_of`. Any connection to the store will do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import apsw

from services.segmenter.people import samples
from services.segmenter.people.rules_sql import Asked, Condition, compile_rule
from services.segmenter.people.withdrawals import EVERYTHING
from shared.programme.rules import Rule
from shared.wire.supporters import AttributeValue

PIXEL_CONSENT: Final = "pixel_consent"
"""The attribute that says somebody consented to the tracking pixel."""

_SUPPRESSED: Final = """exists (select 1 from suppression x
    where x.subject in (s.supporter_id, s.address_key) and x.scope in ({marks}))"""
_COUNT: Final = """
    select case when s.standing <> 'mailable' then s.standing
            when {suppressed} then 'suppressed' else 'mailable' end,
        count(*),
        sum(case when s.place_status in ('known', 'given') then 0 else 1 end)
    from supporter s where {condition} group by 1"""
_MEMBERS: Final = """
    select s.supporter_id, s.address_key, p.email, p.first_name, p.last_name, p.language,
        p.postcode, s.latitude, s.longitude, p.attributes, p.areas
    from supporter s join profile p on p.supporter_id = s.supporter_id
    where {who} and s.standing = 'mailable' and not {suppressed}
    order by s.supporter_id"""
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

    @property
    def pixel(self) -> bool:
        """Whether they consented to the pixel (attribute `pixel_consent` is true)."""
        return self.attributes.get(PIXEL_CONSENT) is True


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
    connection: apsw.Connection,
    rule: Rule,
    as_of: datetime,
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Counted:
    """How many match, how many of them may be mailed, and why the others may not.

    `topic` and `send_id` add the suppressions of those scopes. Raises RuleUnusable.
    """
    condition = _compiled(connection, rule, as_of, "everyone")
    suppressed = _suppressed(topic, send_id)
    by_reason = {}
    unplaced = 0
    for reason, number, without_place in connection.execute(
        _COUNT.format(condition=condition.sql, suppressed=suppressed.sql),
        (*suppressed.parameters, *condition.parameters),
    ):
        by_reason[reason] = number
        if reason == "mailable":
            unplaced = without_place
    mailable = by_reason.pop("mailable", 0)
    return Counted(mailable + sum(by_reason.values()), mailable, by_reason, unplaced)


def members(
    connection: apsw.Connection,
    rule: Rule,
    as_of: datetime,
    partition: int,
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Iterator[Member]:
    """The mailable members of one partition, by supporter_id. One cursor: use it up or close it.

    Raises RuleUnusable.
    """
    condition = _compiled(connection, rule, as_of, "partition")
    who = Condition(f"s.partition = ? and {condition.sql}", (partition, *condition.parameters))
    return _members(connection, who, topic, send_id)


def members_by_id(
    connection: apsw.Connection,
    supporter_ids: Iterable[str],
    *,
    topic: str | None = None,
    send_id: str | None = None,
) -> Iterator[Member]:
    """Those of the given who may be mailed now, by supporter_id; the others are absent."""
    who = Condition(_GIVEN, (json.dumps(list(supporter_ids)),))
    return _members(connection, who, topic, send_id)


def holding(
    connection: apsw.Connection, rule: Rule, as_of: datetime, supporter_ids: Iterable[str]
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
    connection: apsw.Connection, supporter_ids: Iterable[str], actions: Iterable[str]
) -> set[str]:
    """Those of the given who ever did one of the actions (what `unless_done` asks)."""
    asked = (json.dumps(list(supporter_ids)), json.dumps(list(actions)))
    return {supporter_id for (supporter_id,) in connection.execute(_DONE, asked)}


def scopes(topic: str | None, send_id: str | None) -> list[str]:
    """The scopes of suppressions that stop a mail of this topic and send."""
    found = [EVERYTHING]
    if topic is not None:
        found.append(f"topic:{topic}")
    if send_id is not None:
        found.append(f"send:{send_id}")
    return found


def _compiled(connection: apsw.Connection, rule: Rule, as_of: datetime, asked: Asked) -> Condition:
    samples.teach(connection)
    return compile_rule(rule, as_of, asked)


def _suppressed(topic: str | None, send_id: str | None) -> Condition:
    wanted = scopes(topic, send_id)
    return Condition(_SUPPRESSED.format(marks=", ".join("?" * len(wanted))), tuple(wanted))


def _members(
    connection: apsw.Connection, who: Condition, topic: str | None, send_id: str | None
) -> Iterator[Member]:
    suppressed = _suppressed(topic, send_id)
    sql = _MEMBERS.format(who=who.sql, suppressed=suppressed.sql)
    for row in connection.execute(sql, (*who.parameters, *suppressed.parameters)):
        yield _member(row)


def _member(row: tuple[Any, ...]) -> Member:
    (
        supporter_id, address_key, email, first_name, last_name, language, postcode,
        latitude, longitude, attributes, areas,
    ) = row  # fmt: skip
    by_kind = {kind: entry[0] for kind, entry in json.loads(areas).items()}
    return Member(
        supporter_id, address_key, email, first_name, last_name, language, postcode,
        latitude, longitude, json.loads(attributes), by_kind,
    )  # fmt: skip
