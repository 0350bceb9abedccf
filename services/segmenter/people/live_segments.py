"""Which segments are live, in which version, and who belongs to each when it becomes so.

A segment that is new or edited is seeded whole and without a word: nobody entered or left, the
rule did. One that cannot be asked is not live, and holds up no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import apsw
from pydantic import TypeAdapter, ValidationError

from services.segmenter.people import samples
from services.segmenter.people.rule_facts import Window, facts_of, windows_of
from services.segmenter.people.rules_sql import RuleUnusable, compile_rule
from shared.clock import to_ms
from shared.observability.logs import Journal
from shared.programme.definitions import Segment
from shared.programme.rules import Rule

_LIVE: Final = "select segment, version, rule, seeded_at from live_segment"
_MAKE_LIVE: Final = """
    insert into live_segment(segment, version, rule, seeded_at) values (?, ?, ?, ?)
    on conflict (segment) do update set
        version = excluded.version, rule = excluded.rule, seeded_at = excluded.seeded_at"""
_FORGET: Final = "delete from live_segment where segment = ?"
_EMPTY: Final = "delete from membership where segment = ?"
_SEED: Final = """
    insert into membership(segment, supporter_id, since)
    select ?, s.supporter_id, ? from supporter s where {condition}
    on conflict do nothing"""
_UNSEED: Final = """
    delete from membership where segment = ?
    and supporter_id not in (select s.supporter_id from supporter s where {condition})"""
_RULES: Final[TypeAdapter[Rule]] = TypeAdapter(Rule)


@dataclass(frozen=True, slots=True)
class Live:
    """A live segment, with what its rule looks at."""

    name: str
    version: str
    rule: Rule
    facts: AbstractSet[str]
    windows: AbstractSet[Window]
    seeded_at: int


def read_live(connection: apsw.Connection) -> list[Live]:
    """The live segments of the store, by name; the connection can ask all their rules then."""
    samples.teach(connection)
    journal = Journal("people.live_segments")
    live = []
    for name, version, text, seeded_at in connection.execute(_LIVE):
        try:
            rule = _RULES.validate_json(text)
        except ValidationError:
            # Written by another version of us; the programme makes it live anew.
            journal.error("people.segment_unreadable", segment=name)
            continue
        live.append(Live(name, version, rule, facts_of(rule), windows_of(rule), seeded_at))
    return sorted(live, key=lambda segment: segment.name)


def use_live(
    connection: apsw.Connection, segments: Iterable[Segment], as_of: datetime
) -> list[str]:
    """Make exactly these live. The new and the edited are seeded without a word to anyone.

    Returns a sentence for each that cannot be used; it is not live then.
    """
    known = {segment.name: segment.version for segment in read_live(connection)}
    wanted = {segment.name: segment for segment in segments}
    for (name,) in list(connection.execute("select segment from live_segment")):
        if name not in wanted:
            _drop(connection, name)
    unusable = []
    for name, segment in sorted(wanted.items()):
        version = segment.version()
        if known.get(name) == version:
            continue
        try:
            _seed(connection, segment, version, as_of)
        except RuleUnusable as error:
            _drop(connection, name)
            unusable.append(f"segment {name}: {error}")
    return unusable


def _seed(connection: apsw.Connection, segment: Segment, version: str, as_of: datetime) -> None:
    condition = compile_rule(segment.rule, as_of, "everyone")
    at = to_ms(as_of)
    connection.execute(
        _UNSEED.format(condition=condition.sql), (segment.name, *condition.parameters)
    )
    connection.execute(
        _SEED.format(condition=condition.sql), (segment.name, at, *condition.parameters)
    )
    rule = _RULES.dump_json(segment.rule).decode()
    connection.execute(_MAKE_LIVE, (segment.name, version, rule, at))


def _drop(connection: apsw.Connection, name: str) -> None:
    connection.execute(_EMPTY, (name,))
    connection.execute(_FORGET, (name,))
