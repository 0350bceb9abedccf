"""Who enters and who leaves a live segment, and why.

Membership is what a rule says; whether somebody may be mailed is asked when something is sent.
After each batch the supporters it touched are asked again; time alone is let to move people by a
sweep. Differences are written and emitted in the caller's transaction.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from services.segmenter.people import samples
from services.segmenter.people.live_segments import Live, Standing
from services.segmenter.people.rules_sql import MOST_PARAMETERS, compile_rule
from shared.clock import to_ms
from shared.ids import event_id
from shared.log.record import Record
from shared.log.topics import MEMBERSHIPS
from shared.store.database import Database, Dialect, copy_rows, dialect_of
from shared.store.port import Unit
from shared.wire.cloudevents import encode
from shared.wire.memberships import MembershipChanged

_KNOWN: Final = """
    select supporter_id, partition from supporter
    where supporter_id in (select value from json_each(?))"""
# The supporters asked about, with what a rule may look at in `supporter`: asking hundreds of
# segments about them reads the big table once. `in (select ...)`, never a join: for a join SQLite
# reads all supporters into a Bloom filter.
_ASKED: Final = """
    select supporter_id, partition, language, bucket from supporter
    where supporter_id in (select value from json_each(?))"""
_ASKED_AT_HAND: Final = """
    create temp table if not exists asked_supporter as
    select supporter_id, partition, language, bucket from supporter where 1 = 0"""
_ASK_NOBODY: Final = "delete from temp.asked_supporter"
_MOVED: Final = """
    select {which}, s.supporter_id, s.partition, {belongs} from asked_supporter s
    where {who} and ({condition}) <> {belongs}"""
_BELONGS: Final = """exists (select 1 from membership m
    where m.segment = ? and m.partition = s.partition and m.supporter_id = s.supporter_id)"""
_SOME: Final = "s.supporter_id in (select value from json_each(?))"
_MEMBERSHIP: Final = ("segment", "partition", "supporter_id", "since")
_LEAVE: Final = "delete from membership where segment = ? and partition = ? and supporter_id = ?"
_SWEPT: Final = "select partition, swept_at from sweep"
_SWEEP: Final = """
    insert into sweep(partition, swept_at) values (?, ?)
    on conflict (partition) do update set swept_at = excluded.swept_at"""
_WINDOW_PASSED: Final = """
    select distinct a.supporter_id from action a
    where a.action = ? and ((a.at > ? and a.at <= ?) or (a.at > ? and a.at <= ?))"""
_CHUNK: Final = 5_000
_AT_A_TIME: Final[dict[Dialect, int]] = {"sqlite": 1, "postgres": 100}
"""Segments asked in one statement: SQLite is quickest one by one, PostgreSQL is far away."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A supporter about whom something may have changed: which facts, and by which record."""

    cause: str
    facts: AbstractSet[str]


class Question(NamedTuple):
    """Which of those at hand a segment is asked about: each with a cause. `some`: not all."""

    live: Live
    causes: Mapping[str, str]
    some: bool


def refresh(
    unit: Unit,
    standing: Sequence[Standing],
    touched: Mapping[str, Touched],
    as_of: datetime,
) -> int:
    """Ask the segments that look at what changed about those it changed for; how many moved."""
    interested: defaultdict[str, list[str]] = defaultdict(list)
    for live, _ in standing:
        for fact in live.facts:
            interested[fact].append(live.name)
    asked: defaultdict[str, set[str]] = defaultdict(set)
    for supporter_id, entry in touched.items():
        for fact in entry.facts:
            for name in interested.get(fact, ()):
                asked[name].add(supporter_id)
    if not asked:
        return 0
    known = _known(unit.connection, sorted(touched))
    questions = []
    for live, seeded_at in standing:
        who = [s for s in sorted(asked[live.name]) if known.get(s) in seeded_at]
        if who:
            causes = {supporter_id: touched[supporter_id].cause for supporter_id in who}
            questions.append(Question(live, causes, some=len(who) < len(known)))
    return _move(unit, sorted(known), questions, as_of)


def sweep(unit: Unit, standing: Sequence[Standing], as_of: datetime, owned: frozenset[int]) -> int:
    """Move the people of these partitions whom nothing but time has moved; how many.

    Only an action that grew too old since the last sweep, or whose time has come since, can do
    that: who did none of those is not asked.
    """
    unit.check(*owned)
    connection, until = unit.connection, to_ms(as_of)
    timed = [(live, seeded_at) for live, seeded_at in standing if live.windows and seeded_at]
    swept = {partition: at for partition, at in connection.execute(_SWEPT) if partition in owned}
    # A partition never swept is due since the first seeding, and since the newest if there is none.
    first = min((at for _, seeded_at in timed for at in seeded_at.values()), default=until)
    since = min([swept.get(partition, first) for partition in owned], default=until)
    moved = 0
    if since < until:
        cause = f"sweep:{as_of.isoformat()}"
        for live, seeded_at in timed:
            for chunk in _chunks(sorted(_passed(connection, live, since, until))):
                known = _known(connection, chunk)
                who = [s for s in chunk if known.get(s) in owned & seeded_at.keys()]
                question = Question(live, dict.fromkeys(who, cause), some=False)
                moved += _move(unit, who, [question], as_of)
    later = [(partition, until) for partition in sorted(owned) if swept.get(partition, -1) < until]
    if later:
        connection.executemany(_SWEEP, later)
    return moved


def _known(database: Database, supporter_ids: Sequence[str]) -> dict[str, int]:
    """Those that are known, with their partitions."""
    return dict(database.execute(_KNOWN, (json.dumps(supporter_ids),)))


def _move(unit: Unit, asked: Sequence[str], questions: Sequence[Question], as_of: datetime) -> int:
    """Ask the questions, all of which are about some of `asked`; how many moved."""
    connection, moved = unit.connection, 0
    samples.teach(connection)
    before, listed = _gather(connection, asked)
    for some in _statements(questions, as_of, _AT_A_TIME[dialect_of(connection)]):
        sql = before + "\n    union all".join(part for _, part, _ in some)
        values = [value for _, _, values in some for value in values]
        found = connection.execute(sql, (*listed, *values)).fetchall()
        moved += _write(unit, [question for question, _, _ in some], sorted(found), as_of)
    return moved


def _gather(database: Database, asked: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Make `asked_supporter` to be had by questions: what they begin with, and its parameters."""
    listed = json.dumps(asked)
    if dialect_of(database) == "postgres":
        return f"with asked_supporter as materialized ({_ASKED})", (listed,)
    database.execute(_ASKED_AT_HAND)
    database.execute(_ASK_NOBODY)
    database.execute(f"insert into temp.asked_supporter {_ASKED}", (listed,))
    return "", ()


_Part = tuple[Question, str, list[Any]]


def _statements(questions: Iterable[Question], as_of: datetime, most: int) -> Iterator[list[_Part]]:
    """The questions, each with its SQL and parameters, as many at a time as one statement takes,
    and no more than `most`.
    """
    parts: list[_Part] = []
    room = MOST_PARAMETERS
    for question in questions:
        condition = compile_rule(question.live.rule, as_of, "given")
        name = question.live.name
        listed = [json.dumps(list(question.causes))] if question.some else []
        values = [name, *listed, *condition.parameters, name]
        if parts and (len(parts) == most or len(values) > room):
            yield parts
            parts, room = [], MOST_PARAMETERS
        sql = _MOVED.format(
            which=len(parts), belongs=_BELONGS, condition=condition.sql,
            who=_SOME if question.some else "1 = 1",
        )  # fmt: skip
        parts.append((question, sql, values))
        room -= len(values)
    if parts:
        yield parts


def _write(
    unit: Unit,
    questions: Sequence[Question],
    moved: Sequence[tuple[int, str, int, object]],
    as_of: datetime,
) -> int:
    """Write and say who moved: (which question, supporter, partition, belonged before)."""
    at = to_ms(as_of)
    entered, left = [], []
    for which, supporter_id, partition, belonged in moved:
        live, causes, _ = questions[which]
        if belonged:
            left.append((live.name, partition, supporter_id))
        else:
            entered.append((live.name, partition, supporter_id, at))
        change = MembershipChanged(
            segment=live.name,
            segment_version=live.version,
            supporter_id=supporter_id,
            change="left" if belonged else "entered",
            cause=causes[supporter_id],
            at=as_of,
        )
        unit.emit(partition, _record(change, partition))
    if entered:
        copy_rows(unit.connection, "membership", _MEMBERSHIP, entered)
    if left:
        unit.connection.executemany(_LEAVE, left)
    return len(moved)


def _record(change: MembershipChanged, partition: int) -> Record:
    return encode(
        change,
        id=event_id(
            "membership", change.segment, change.segment_version, change.supporter_id, change.cause
        ),
        source="segmenter",
        subject=change.supporter_id,
        time=change.at,
        topic=MEMBERSHIPS,
        partition=partition,
        key=change.supporter_id,
    )


def _passed(database: Database, segment: Live, since: int, until: int) -> set[str]:
    """Whose action crossed an edge of a window of the rule in the time since."""
    return {
        supporter_id
        for window in segment.windows
        for (supporter_id,) in database.execute(
            _WINDOW_PASSED,
            (
                window.action,
                math.floor(since - window.length_ms), math.floor(until - window.length_ms),
                since, until,
            ),
        )
    }  # fmt: skip


def _chunks(supporter_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(supporter_ids), _CHUNK):
        yield supporter_ids[start : start + _CHUNK]
