"""What stands on a topic when a run is over: all of it, and what of it stands there twice.

An id that stands on `events` twice has to be explained by somebody outside who told us twice: SES
posts a notification again when a killed tracker kept it and did not answer, and whoever got no
answer to an unsubscribe repeats it. Everything else of ours stands there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw

from shared.log.port import Log
from shared.log.record import Stored
from shared.log.topics import EVENTS
from shared.wire.cloudevents import Envelope, decode
from shared.wire.events import Event

TRACKER = "tracker"
TOLD_BY_SES: Mapping[str, str] = {
    "ses_sent": "Send",
    "delivered": "Delivery",
    "bounced": "Bounce",
    "soft_bounced": "Bounce",
    "complained": "Complaint",
}
"""Kind of event to SES's word for what it is made from."""


@dataclass(frozen=True, slots=True)
class Twice:
    """What stands on `events` more than once: how many SES explains, and what nobody does."""

    told_twice: int
    unexplained: list[str]


def whole_topic(log: Log, topic: str) -> Iterator[Stored]:
    """All of a topic, up to its end at the call."""
    with closing(log.follow(topic)) as follower:
        ends = follower.end_offsets()
        while any(follower.next_offsets().get(place, 0) < end for place, end in ends.items()):
            yield from follower.read(timeout_seconds=1.0)


def standing_twice(log: Log, home: Path, asked: Mapping[str, int]) -> Twice:
    """Count the ids on `events`, in a file, for there may be millions.

    `asked`: supporter to how often an unsubscribe of theirs was posted to the tracker.
    """
    found: dict[tuple[str, str], tuple[int, str, Envelope]] = {}
    with closing(apsw.Connection(str(home / "told.sqlite3"))) as books:
        books.execute(
            "create table told (source, id, place, number, primary key (source, id)) without rowid"
        )
        with books:  # one transaction
            for stored in whole_topic(log, EVENTS):
                headers = dict(stored.headers)
                identity = headers["ce_source"].decode(), headers["ce_id"].decode()
                place = f"{stored.partition}@{stored.offset} ({stored.timestamp_ms})"
                ((number, places),) = books.execute(
                    "insert into told values (?, ?, ?, 1) on conflict do update"
                    " set number = number + 1, place = place || ', ' || excluded.place"
                    " returning number, place",
                    (*identity, place),
                )
                if number > 1:
                    found[identity] = (number, places, decode(stored))
    return _explained(found.values(), home, asked)


def _explained(
    found: Iterable[tuple[int, str, Envelope]], home: Path, asked: Mapping[str, int]
) -> Twice:
    told, unexplained = 0, []
    with closing(apsw.Connection(str(home / "ses" / "events.sqlite3"))) as posts:
        for number, places, envelope in found:
            assert isinstance(envelope.data, Event)
            allowed = _times_told(envelope.source, envelope.data, posts, asked)
            if number <= allowed:
                told += 1
            else:
                unexplained.append(
                    f"{envelope.type} {envelope.id} of {envelope.source} stands on events"
                    f" {number} times, told {allowed} times: {places}"
                )
    return Twice(told, unexplained)


def _times_told(source: str, event: Event, posts: apsw.Connection, asked: Mapping[str, int]) -> int:
    """How often somebody outside told of this event, at the most."""
    if source != TRACKER:
        return 1
    if event.kind == "unsubscribed":
        return asked.get(event.supporter_id, 0)
    if event.kind not in TOLD_BY_SES:
        return 1
    ((times,),) = posts.execute(
        "select coalesce(sum(attempts), 0) from event where message_id = ? and event_type = ?",
        (event.ses_message_id, TOLD_BY_SES[event.kind]),
    )
    return int(times)
