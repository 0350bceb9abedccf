"""Who enters and who leaves a live segment, and why.

Membership is what a rule says; whether somebody may be mailed is asked when something is sent.
After each batch the supporters it touched are asked again; time alone is let to move people by a
sweep. Differences are written and emitted in the caller's transaction.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import apsw

from services.segmenter.people.live_segments import Live
from services.segmenter.people.rules_sql import compile_rule
from shared.clock import to_ms
from shared.ids import event_id
from shared.log.record import Record
from shared.log.topics import MEMBERSHIPS
from shared.store.sqlite import SqliteUnit
from shared.wire.cloudevents import encode
from shared.wire.memberships import MembershipChanged

# The supporters asked about, with what a rule may look at in `supporter`: asking hundreds of
# segments about them reads the big table once.
_ASKED: Final = """
    create temp table if not exists asked_supporter(
        supporter_id text primary key, partition integer not null, language text,
        bucket integer not null
    ) strict, without rowid"""
_ASK_NOBODY: Final = "delete from temp.asked_supporter"
# `in (select ...)`, never a join: for a join SQLite reads all supporters into a Bloom filter.
_ASK: Final = """
    insert into temp.asked_supporter(supporter_id, partition, language, bucket)
    select supporter_id, partition, language, bucket from supporter
    where supporter_id in (select value from json_each(?))"""
_ASK_OWNED: Final = """
    delete from temp.asked_supporter where partition not in (select value from json_each(?))"""
_WHO_IS_ASKED: Final = "select supporter_id from temp.asked_supporter"
_MOVED: Final = """
    select s.supporter_id, s.partition, {belongs} from temp.asked_supporter s
    where ({condition}) <> {belongs} order by s.supporter_id"""
_MOVED_OF_SOME: Final = """
    select s.supporter_id, s.partition, {belongs} from temp.asked_supporter s
    where s.supporter_id in (select value from json_each(?)) and ({condition}) <> {belongs}
    order by s.supporter_id"""
_BELONGS: Final = """exists (select 1 from membership m
    where m.segment = ? and m.supporter_id = s.supporter_id)"""
_ENTER: Final = "insert into membership(segment, supporter_id, since) values (?, ?, ?)"
_LEAVE: Final = "delete from membership where segment = ? and supporter_id = ?"
_SWEPT: Final = "select partition, swept_at from sweep"
_SWEEP: Final = """
    insert into sweep(partition, swept_at) values (?, ?)
    on conflict (partition) do update set swept_at = excluded.swept_at"""
_WINDOW_PASSED: Final = """
    select distinct a.supporter_id from action a
    where a.action = ? and ((a.at > ? and a.at <= ?) or (a.at > ? and a.at <= ?))"""
_CHUNK: Final = 5_000


@dataclass(frozen=True, slots=True)
class Touched:
    """A supporter about whom something may have changed: which facts, and by which record."""

    cause: str
    facts: AbstractSet[str]


def refresh(
    unit: SqliteUnit, live: Sequence[Live], touched: Mapping[str, Touched], as_of: datetime
) -> int:
    """Ask the segments that look at what changed about those it changed for; how many moved."""
    interested: defaultdict[str, list[Live]] = defaultdict(list)
    for segment in live:
        for fact in segment.facts:
            interested[fact].append(segment)
    asked: defaultdict[str, set[str]] = defaultdict(set)
    for supporter_id, entry in touched.items():
        for fact in entry.facts:
            for segment in interested.get(fact, ()):
                asked[segment.name].add(supporter_id)
    if not asked:
        return 0
    known = set(_ask(unit.connection, sorted(touched)))
    moved = 0
    for segment in live:
        who = sorted(known & asked[segment.name])
        if who:
            causes = {supporter_id: touched[supporter_id].cause for supporter_id in who}
            moved += _move(unit, segment, causes, as_of, some=len(who) < len(known))
    return moved


def sweep(unit: SqliteUnit, live: Sequence[Live], as_of: datetime, owned: frozenset[int]) -> int:
    """Move the people of these partitions whom nothing but time has moved; how many.

    Only an action that grew too old since the last sweep, or whose time has come since, can do
    that: who did none of those is not asked.
    """
    connection, until = unit.connection, to_ms(as_of)
    timed = [segment for segment in live if segment.windows]
    swept = {partition: at for partition, at in connection.execute(_SWEPT) if partition in owned}
    # A partition never swept is due since the first seeding, and since the newest if there is none.
    first = min((segment.seeded_at for segment in timed), default=until)
    since = min([swept.get(partition, first) for partition in owned], default=until)
    moved = 0
    if since < until:
        for segment in timed:
            for chunk in _chunks(sorted(_passed(connection, segment, since, until))):
                who = _ask(connection, chunk, owned)
                causes = dict.fromkeys(who, f"sweep:{as_of.isoformat()}")
                moved += _move(unit, segment, causes, as_of)
    later = [(partition, until) for partition in sorted(owned) if swept.get(partition, -1) < until]
    if later:
        connection.executemany(_SWEEP, later)
    return moved


def _ask(
    connection: apsw.Connection, supporter_ids: Sequence[str], owned: AbstractSet[int] | None = None
) -> list[str]:
    """From now on `_move` is about these, if they are known (and of the owned partitions)."""
    connection.execute(_ASKED)
    connection.execute(_ASK_NOBODY)
    connection.execute(_ASK, (json.dumps(supporter_ids),))
    if owned is not None:
        connection.execute(_ASK_OWNED, (json.dumps(sorted(owned)),))
    return [str(row[0]) for row in connection.execute(_WHO_IS_ASKED)]


def _move(
    unit: SqliteUnit,
    segment: Live,
    causes: Mapping[str, str],
    as_of: datetime,
    *,
    some: bool = False,
) -> int:
    """Ask the rule about those asked (`some`: only those with a cause); how many moved."""
    condition = compile_rule(segment.rule, as_of, "given")
    listed = (json.dumps(list(causes)),) if some else ()
    sql = (_MOVED_OF_SOME if some else _MOVED).format(condition=condition.sql, belongs=_BELONGS)
    values = (segment.name, *listed, *condition.parameters, segment.name)
    moved: list[tuple[Any, ...]] = unit.connection.execute(sql, values).fetchall()
    at = to_ms(as_of)
    entered = [(segment.name, s, at) for s, _, belonged in moved if not belonged]
    left = [(segment.name, s) for s, _, belonged in moved if belonged]
    if entered:
        unit.connection.executemany(_ENTER, entered)
    if left:
        unit.connection.executemany(_LEAVE, left)
    for supporter_id, partition, belonged in moved:
        change = MembershipChanged(
            segment=segment.name,
            segment_version=segment.version,
            supporter_id=supporter_id,
            change="left" if belonged else "entered",
            cause=causes[supporter_id],
            at=as_of,
        )
        unit.emit(partition, _record(change, partition))
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


def _passed(connection: apsw.Connection, segment: Live, since: int, until: int) -> set[str]:
    """Whose action crossed an edge of a window of the rule in the time since."""
    return {
        supporter_id
        for window in segment.windows
        for (supporter_id,) in connection.execute(
            _WINDOW_PASSED,
            (
                window.action,
                since - window.length_ms, until - window.length_ms,
                since, until,
            ),
        )
    }  # fmt: skip


def _chunks(supporter_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(supporter_ids), _CHUNK):
        yield supporter_ids[start : start + _CHUNK]
