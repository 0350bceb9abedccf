"""Opens and clicks, each as a row, and whose they were: what a person did moves segments.

A hit waits a moment before it counts, longer when something speaks against it, because a scanner is
known by what it does next. Then, and whenever more is known of its message, all hits of the message
are judged again (`shared.classification`): what is counted follows, and what differs from what the
hit's own event says is told as a `judged` event. Judgements of a newer version stand.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from services.segmenter.people.memberships import Touched
from services.segmenter.people.ownership import among
from services.segmenter.people.upserts import Type, Upsert
from shared.classification.agents import VERSION
from shared.classification.hits import hit_of
from shared.classification.judging import Judged, judged_record, judgement_id
from shared.classification.signals import MACHINES, Hit, Judgement, judge
from shared.clock import to_ms
from shared.errors import NeverRetry
from shared.log.record import Record
from shared.store.database import Database
from shared.store.port import Unit
from shared.wire.events import AgentClass, Event

AT_ONCE: Final = 500
"""Messages that are settled in one unit."""

_TYPES: Final[dict[str, Type]] = {
    "supporter_id": "text", "send_id": "text", "occurrence": "bigint", "event_id": "text",
    "partition": "bigint", "kind": "text", "link": "bigint", "at": "bigint", "method": "text",
    "words": "text", "visitor": "text", "agent": "text", "version": "bigint",
    "counted": "bigint", "seen_at": "bigint", "due_at": "bigint",
}  # fmt: skip
_KEY: Final = ("supporter_id", "send_id", "occurrence", "event_id")
_HIT: Final = Upsert("hit", _TYPES, _KEY)
_DUE: Final = """
    select supporter_id, send_id, occurrence from hit
    where {within} and due_at <= ? order by due_at limit ?"""
_HITS: Final = """
    select h.supporter_id, h.send_id, h.occurrence, h.event_id, h.partition, h.kind, h.link, h.at,
        h.method, h.words, h.visitor, h.agent, h.version, h.counted, h.seen_at, h.due_at,
        d.delivered_at, d.variant, d.edition
    from hit h left join delivery d on d.send_id = h.send_id
        and d.supporter_id = h.supporter_id and d.occurrence = h.occurrence
    where h.supporter_id in (select value from json_each(?))
    and h.send_id in (select value from json_each(?))"""
_SETTLE: Final = """
    update hit set agent = ?, version = ?, counted = ?, due_at = ?
    where supporter_id = ? and send_id = ? and occurrence = ? and event_id = ?"""
_LOOK_AGAIN: Final = """
    update hit set due_at = case when seen_at + ? > ? then seen_at + ? else ? end
    where supporter_id = ? and send_id = ? and occurrence = ?"""
_TOLD: Final = """
    update hit set agent = ?, version = ?, counted = case when due_at is null then ? else 0 end
    where supporter_id = ? and send_id = ? and occurrence = ? and event_id = ? and version < ?"""
_FIRST: Final = """(select min(h.at) from hit h where h.supporter_id = delivery.supporter_id
    and h.send_id = delivery.send_id and h.occurrence = delivery.occurrence
    and h.kind = '{kind}' and h.counted = 1)"""
_COUNT: Final = f"""
    update delivery set opened_at = {_FIRST.format(kind="opened")},
        clicked_at = {_FIRST.format(kind="clicked")}
    where supporter_id = ? and send_id = ? and occurrence = ?"""


class Of(NamedTuple):
    """Which message a hit is of, in the order of the table's key."""

    supporter_id: str
    send_id: str
    occurrence: int


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a hit waits before it counts: when nothing speaks against it, and when one sign
    does and no second has come.
    """

    clear_ms: int = 2_000
    doubtful_ms: int = 60_000


@dataclass(slots=True)
class Heard:
    """What a batch of events says of hits. `delivered`: messages whose delivery was told."""

    hits: list[tuple[Of, Hit, AgentClass, int]]
    delivered: set[Of]
    judged: list[tuple[Of, Event]]


def hear(events: Iterable[tuple[str, Event]]) -> Heard:
    """`events`: each with its id. Raises NeverRetry for a judgement that says nothing."""
    heard = Heard([], set(), [])
    for event_id, event in events:
        if event.send_id is None:
            continue
        message = Of(event.supporter_id, event.send_id, event.occurrence)
        if event.kind == "delivered":
            heard.delivered.add(message)
        elif event.kind == "judged":
            if event.hit is None or event.agent is None or event.agent_version is None:
                raise NeverRetry("a judged event without its hit, agent or agent_version")
            heard.judged.append((message, event))
        elif (hit := hit_of(event_id, event)) is not None:
            said = event.agent or hit.words
            heard.hits.append((message, hit, said, event.agent_version or 0))
    return heard


def write(
    database: Database,
    heard: Heard,
    partitions: Mapping[str, int],
    now_ms: int,
    patience: Patience,
) -> None:
    """Keep the hits until they are settled; look again at those of messages delivered now; take
    over what a newer version says. `partitions` by supporter.
    """
    due = now_ms + patience.clear_ms
    _HIT.write(
        database,
        {
            (*message, hit.hit_id): (
                *message, hit.hit_id, partitions[message.supporter_id], hit.kind, hit.link,
                hit.at, hit.method, hit.words, hit.visitor, said, version, 0, now_ms, due,
            )
            for message, hit, said, version in heard.hits
        }.values(),
    )  # fmt: skip
    if heard.delivered:
        when = (patience.clear_ms, now_ms, patience.clear_ms, now_ms)
        database.executemany(_LOOK_AGAIN, [(*when, *each) for each in sorted(heard.delivered)])
    for message, event in heard.judged:
        counted = int(event.agent not in MACHINES)
        said = (event.agent, event.agent_version, counted)
        database.execute(_TOLD, (*said, *message, event.hit, event.agent_version))
        database.execute(_COUNT, message)


def settle(
    unit: Unit, owned: AbstractSet[int], now: datetime, patience: Patience
) -> tuple[dict[str, Touched], bool]:
    """Judge what is due, among the owned partitions: whom it touches, each with the cause; and
    whether there may be more that is due. In the caller's unit, which checks ownership.
    """
    database, now_ms = unit.connection, to_ms(now)
    sql = _DUE.format(within=among("partition", owned))
    due = [Of(*row) for row in database.execute(sql, (now_ms, AT_ONCE))]
    touched: dict[str, Touched] = {}
    changes: list[tuple[Any, ...]] = []
    recounted: set[Of] = set()
    for message, rows in _rows(database, set(due)).items():
        delivered_at = rows[0].delivered_at
        judgements = judge([row.hit() for row in rows], delivered_at)
        for row in rows:
            judgement = judgements[row.event_id]
            settled = _settled(row, judgement, now_ms, patience)
            if settled == row.state():
                continue
            changes.append((*settled, *message, row.event_id))
            cause = row.event_id
            if settled.agent != row.agent:
                cause = judgement_id(row.event_id, judgement)
                unit.emit(row.partition, _record(row, judgement, now))
            if settled.counted != row.counted:
                recounted.add(message)
                known = touched.get(row.supporter_id)
                facts = {f"{row.kind}:{row.send_id}", *(known.facts if known else ())}
                touched[row.supporter_id] = Touched(cause, facts)
    if changes:
        database.executemany(_SETTLE, changes)
    if recounted:
        database.executemany(_COUNT, sorted(recounted))
    return touched, len(due) >= AT_ONCE


def waiting(database: Database, owned: AbstractSet[int], now: datetime) -> bool:
    """Whether there is anything to settle."""
    sql = _DUE.format(within=among("partition", owned))
    return bool(database.execute(sql, (to_ms(now), 1)).fetchall())


class _State(NamedTuple):
    """What becomes of a hit. `due_at` None: settled."""

    agent: AgentClass
    version: int
    counted: int
    due_at: int | None


class _Row(NamedTuple):
    """A hit as the table has it, with what is known of its message."""

    supporter_id: str
    send_id: str
    occurrence: int
    event_id: str
    partition: int
    kind: Literal["opened", "clicked"]
    link: int | None
    at: int
    method: str
    words: AgentClass
    visitor: str
    agent: AgentClass
    version: int
    counted: int
    seen_at: int
    due_at: int | None
    delivered_at: int | None
    variant: str | None
    edition: str | None

    def hit(self) -> Hit:
        return Hit(
            self.event_id, self.kind, self.at, self.link, self.method, self.words, self.visitor
        )

    def state(self) -> _State:
        return _State(self.agent, self.version, self.counted, self.due_at)


def _rows(database: Database, wanted: AbstractSet[Of]) -> dict[Of, list[_Row]]:
    """All hits of these messages."""
    found: defaultdict[Of, list[_Row]] = defaultdict(list)
    people = json.dumps(sorted({message.supporter_id for message in wanted}))
    sends = json.dumps(sorted({message.send_id for message in wanted}))
    for values in database.execute(_HITS, (people, sends)) if wanted else ():
        row = _Row(*values)
        message = Of(row.supporter_id, row.send_id, row.occurrence)
        if message in wanted:
            found[message].append(row)
    return found


def _settled(row: _Row, judgement: Judgement, now_ms: int, patience: Patience) -> _State:
    """What becomes of a hit now. Pure."""
    if row.version > VERSION:  # its word stands; ours is of an older version
        waiting = row.due_at is not None and row.due_at > now_ms
        counted = int(row.agent not in MACHINES)
        return row.state() if waiting else _State(row.agent, row.version, counted, None)
    if judgement.machine:
        return _State(judgement.agent, VERSION, 0, None)
    if not row.counted and row.due_at is not None:
        if row.due_at > now_ms:
            return row.state()
        last = row.seen_at + patience.doubtful_ms
        if judgement.open_question and now_ms < last:
            return _State(row.agent, row.version, 0, last)
    return _State(judgement.agent, VERSION, 1, None)


def _record(row: _Row, judgement: Judgement, now: datetime) -> Record:
    about = Judged(
        row.event_id, row.supporter_id, row.send_id, row.occurrence, row.variant, row.edition,
        row.link,
    )  # fmt: skip
    return judged_record(about, judgement, now, source="segmenter", partition=row.partition)
