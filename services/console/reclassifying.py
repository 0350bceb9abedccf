"""Judges the opens and clicks of the whole history anew, from the raw facts on the log.

The events are read once into a file of their own, because no machine has to have the memory for
them; then each message is judged with all that is known of it. What differs from what was last
said of a hit is written as a `judged` event, under an id that follows from it: cut off anywhere, it
is simply done again. What a newer version of the rules has said is left alone. No Typer here.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import apsw

from services.console.tailing import everything
from shared.classification.hits import hit_of
from shared.classification.judging import Judged, judged_record
from shared.classification.signals import Hit, Judgement, judge
from shared.clock import to_ms
from shared.log.partitioner import partition_of
from shared.log.port import Log
from shared.log.record import Record
from shared.log.topics import EVENTS
from shared.wire.cloudevents import Envelope
from shared.wire.events import AgentClass, Event

READ: Final = frozenset(
    f"doorstep.{kind}".encode() for kind in ("opened", "clicked", "delivered", "judged")
)
AT_ONCE: Final = 500
"""Records in one append."""

_TABLES: Final = (
    """create table hit(
        supporter_id, send_id, occurrence, hit_id, kind, at, link, method, words, visitor,
        variant, edition, agent, version,
        primary key (supporter_id, send_id, occurrence, hit_id)) without rowid""",
    """create table delivered(
        supporter_id, send_id, occurrence, at,
        primary key (supporter_id, send_id, occurrence)) without rowid""",
    """create table judged(
        hit_id primary key, agent, version) without rowid""",
)
_HIT: Final = f"insert into hit values ({', '.join('?' * 14)}) on conflict do nothing"
_DELIVERED: Final = """insert into delivered values (?, ?, ?, ?)
    on conflict do update set at = min(at, excluded.at)"""
# Later records come later: of the same version the later one counts.
_JUDGED: Final = """insert into judged values (?, ?, ?) on conflict do update
    set agent = excluded.agent, version = excluded.version where excluded.version >= version"""
_BY_MESSAGE: Final = """
    select h.supporter_id, h.send_id, h.occurrence, h.hit_id, h.kind, h.at, h.link, h.method,
        h.words, h.visitor, h.variant, h.edition,
        case when j.version >= h.version then j.agent else h.agent end,
        max(coalesce(j.version, 0), h.version), d.at
    from hit h left join delivered d on d.supporter_id = h.supporter_id
        and d.send_id = h.send_id and d.occurrence = h.occurrence
    left join judged j on j.hit_id = h.hit_id
    order by h.supporter_id, h.send_id, h.occurrence"""


@dataclass(slots=True)
class Found:
    """What was found. `changed`: (said before, says now) to the number of hits; `newer`: hits left
    alone, because a newer version has spoken. `messages`: of how many messages the changed are.
    """

    looked_at: int = 0
    newer: int = 0
    changed: Counter[tuple[AgentClass, AgentClass]] = field(default_factory=Counter)
    messages: int = 0


class History:
    """The opens, clicks, deliveries and judgements of a log, in a file beside it."""

    def __init__(self, database: apsw.Connection, version: int) -> None:
        self._database, self._version = database, version
        for statement in _TABLES:
            database.execute(statement)

    def read(self, log: Log) -> None:
        """All of it, up to the end of the log as it is now."""
        with closing(log.follow(EVENTS)) as follower:
            for batch in everything(follower, lambda stored: stored.header("ce_type") in READ):
                with self._database:
                    for _, envelope in batch:
                        self._take(envelope)

    def _take(self, envelope: Envelope) -> None:
        event = envelope.data
        if not isinstance(event, Event):
            return
        if event.kind == "judged":
            said = (event.hit, event.agent, event.agent_version)
            self._database.execute(_JUDGED, said)
        elif event.send_id is not None:
            message = (event.supporter_id, event.send_id, event.occurrence)
            if event.kind == "delivered":
                self._database.execute(_DELIVERED, (*message, to_ms(event.at)))
            else:
                self._take_hit(envelope.id, event, message)

    def _take_hit(self, hit_id: str, event: Event, message: tuple[str, str, int]) -> None:
        hit = hit_of(hit_id, event, self._version)
        if hit is not None:
            self._database.execute(
                _HIT,
                (
                    *message, hit_id, hit.kind, hit.at, hit.link, hit.method, hit.words,
                    hit.visitor, event.variant, event.edition, event.agent or hit.words,
                    event.agent_version or 0,
                ),
            )  # fmt: skip

    def by_message(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The hits of one message after the other, each with what was last said of it."""
        rows = self._database.execute(_BY_MESSAGE)
        for _, hits in groupby(rows, key=itemgetter(0, 1, 2)):
            yield list(hits)


def reclassify(
    log: Log, home: Path, version: int, since: datetime | None, now: datetime, *, write: bool
) -> Found:
    """Judge by the rules of that version, hits since then alone (all when None); write what
    differs, unless told not to. `home` is where the file is put, and taken away.
    """
    found = Found()
    with (
        tempfile.TemporaryDirectory(prefix="reclassify-", dir=home) as folder,
        closing(apsw.Connection(str(Path(folder) / "history.db"))) as database,
    ):
        database.pragma("synchronous", "off")
        history = History(database, version)
        history.read(log)
        records = _differing(history, found, version, to_ms(since) if since else None, now, log)
        for chunk in _chunks(records):
            if write:
                log.append(chunk)
    return found


def _differing(
    history: History,
    found: Found,
    version: int,
    since_ms: int | None,
    now: datetime,
    log: Log,
) -> Iterator[Record]:
    """A record for each hit of which something else is to be said; `found` counts along."""
    for rows in history.by_message():
        judgements = judge([_hit(row) for row in rows], rows[0][-1], version)
        differs = False
        for row in rows:
            said, said_version = row[12], row[13]
            if since_ms is not None and row[5] < since_ms:
                continue
            found.looked_at += 1
            if said_version > version:
                found.newer += 1
                continue
            judgement = judgements[row[3]]
            if judgement.agent == said:
                continue
            found.changed[said, judgement.agent] += 1
            differs = True
            yield _record(row, judgement, version, now, log.partitions)
        found.messages += differs


def _hit(row: Sequence[Any]) -> Hit:
    hit_id, kind, at, link, method, words, visitor = row[3:10]
    return Hit(hit_id, kind, at, link, method, words, visitor)


def _record(
    row: Sequence[Any], judgement: Judgement, version: int, now: datetime, partitions: int
) -> Record:
    supporter_id, send_id, occurrence, hit_id = row[:4]
    about = Judged(hit_id, supporter_id, send_id, occurrence, row[10], row[11], row[6])
    return judged_record(
        about, judgement, now, source="console", version=version,
        partition=partition_of(supporter_id, partitions),
    )  # fmt: skip


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    for record in records:
        chunk.append(record)
        if len(chunk) >= AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
