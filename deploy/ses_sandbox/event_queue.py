"""The durable books of the sandbox in one SQLite file: acceptances, and events to post.

An acceptance and its events enter in one transaction; an event stays due until it is known to be
posted, then stays on record as posted. Only the server's thread writes here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import apsw

from deploy.ses_sandbox.event_plan import EventType, PlannedEvent
from deploy.ses_sandbox.mailboxes import Fate

_SCHEMA: Final = """
create table if not exists acceptance (
    message_id text primary key,
    accepted_ms integer not null,
    recipients integer not null,
    mail text                    -- the events' `mail` object; null: no event was asked for
) without rowid;
create table if not exists event (
    id integer primary key,
    message_id text not null references acceptance,
    event_type text not null,
    fate text not null,
    recipients text not null,    -- JSON list
    happened_ms integer not null,
    due_ms integer not null,
    sns_message_id text not null,
    attempts integer not null default 0,
    posted_ms integer
);
create index if not exists event_due on event (due_ms) where posted_ms is null;
create index if not exists acceptance_time on acceptance (accepted_ms);
"""

_DUE: Final = """
select e.id, e.message_id, e.event_type, e.fate, e.recipients, e.happened_ms, e.due_ms,
       e.sns_message_id, e.attempts, a.accepted_ms, a.mail
from event e join acceptance a using (message_id)
where e.posted_ms is null and e.due_ms <= ? order by e.due_ms limit ?
"""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What is written of a mail: with `mail` null, it has no events."""

    message_id: str
    accepted_ms: int
    recipients: int
    mail: str | None
    events: Sequence[PlannedEvent]


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event that is to be posted now; `attempts` have failed so far."""

    id: int
    planned: PlannedEvent
    attempts: int
    accepted_ms: int
    mail: str


class EventQueue:
    """Every method is one transaction."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(5000)
        self._db.pragma("journal_mode", "wal")
        # Without --fsync the promise is to survive a kill, and for that the page cache is enough.
        self._db.pragma("synchronous", "full" if fsync else "off")
        self._db.execute(_SCHEMA)

    def add(self, acceptances: Iterable[Acceptance]) -> None:
        """Write acceptances and their events, all or none. An acceptance already known is kept."""
        batch = list(acceptances)
        with self._db:
            self._db.executemany(
                "insert or ignore into acceptance values (?, ?, ?, ?)",
                [(one.message_id, one.accepted_ms, one.recipients, one.mail) for one in batch],
            )
            self._db.executemany(
                "insert into event (message_id, event_type, fate, recipients, happened_ms, due_ms,"
                " sns_message_id) values (?, ?, ?, ?, ?, ?, ?)",
                [_row(planned) for one in batch for planned in one.events],
            )

    def due(self, now_ms: int, limit: int, in_hand: Collection[int]) -> list[DueEvent]:
        """At most `limit` due events, earliest first, except those `in_hand`."""
        rows = self._db.execute(_DUE, (now_ms, limit + len(in_hand)))
        found = [_due_event(row) for row in rows if row[0] not in in_hand]
        return found[:limit]

    def next_due_ms(self, in_hand: Collection[int]) -> int | None:
        """When the earliest event that is not in hand becomes due."""
        rows = self._db.execute(
            "select due_ms, id from event where posted_ms is null order by due_ms limit ?",
            (len(in_hand) + 1,),
        )
        return next(
            (cast(int, due_ms) for due_ms, event_id in rows if event_id not in in_hand), None
        )

    def settle(self, posted: Sequence[tuple[int, int]], failed: Sequence[tuple[int, int]]) -> None:
        """`posted`: (id, posted_ms), done with; `failed`: (id, due_ms), to be tried again then."""
        with self._db:
            self._db.executemany(
                "update event set posted_ms = ?2, attempts = attempts + 1 where id = ?1", posted
            )
            self._db.executemany(
                "update event set due_ms = ?2, attempts = attempts + 1 where id = ?1", failed
            )

    def message_ids(self) -> set[str]:
        """All mails whose acceptance is on record."""
        return {
            cast(str, found) for (found,) in self._db.execute("select message_id from acceptance")
        }

    def recipients_by_minute(self, since_ms: int) -> list[tuple[int, int]]:
        """(epoch minute, recipients accepted) since then, oldest first."""
        rows = self._db.execute(
            "select accepted_ms / 60000, sum(recipients) from acceptance where accepted_ms >= ?"
            " group by 1 order by 1",
            (since_ms,),
        )
        return [(cast(int, minute), cast(int, count)) for minute, count in rows]

    def counts(self) -> dict[str, dict[str, int]]:
        """Per type of event, how many are posted and how many wait."""
        counts: dict[str, dict[str, int]] = {}
        for event_type, posted, waiting in self._db.execute(
            "select event_type, count(posted_ms), count(*) - count(posted_ms) from event group by 1"
        ):
            counts[cast(str, event_type)] = {
                "posted": cast(int, posted),
                "waiting": cast(int, waiting),
            }
        return counts

    def close(self) -> None:
        """Fold the write-ahead log into the file."""
        self._db.close()


def _row(planned: PlannedEvent) -> tuple[str | int, ...]:
    return (
        planned.message_id,
        planned.event_type,
        planned.fate,
        json.dumps(planned.recipients),
        planned.happened_ms,
        planned.due_ms,
        planned.sns_message_id,
    )


def _due_event(row: tuple[object, ...]) -> DueEvent:
    event_id, message_id, event_type, fate, recipients, *times, sns_id = row[:8]
    attempts, accepted_ms, mail = row[8:]
    planned = PlannedEvent(
        cast(str, message_id),
        cast(EventType, event_type),
        cast(Fate, fate),
        tuple(json.loads(cast(str, recipients))),
        cast(int, times[0]),
        cast(int, times[1]),
        cast(str, sns_id),
    )
    return DueEvent(
        cast(int, event_id), planned, cast(int, attempts), cast(int, accepted_ms), cast(str, mail)
    )
