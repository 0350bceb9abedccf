"""What events say about mails and people: deliveries, opens, clicks, actions.

A batch is gathered in memory, one row per message, and written in one pass. Times keep the
earliest, states only move up, actions are unique by their event's id: the same event twice changes
nothing, and the order does not matter. Whose opens and clicks were is another room's (`hits`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from services.segmenter.people.upserts import Upsert
from shared.clock import to_ms
from shared.errors import NeverRetry
from shared.store.database import Database
from shared.wire.events import FINAL_KINDS, Event, EventKind

TAKEN_BY_SES: Final[frozenset[EventKind]] = frozenset(
    {
        "accepted",
        "ses_sent",
        "delivered",
        "bounced",
        "soft_bounced",
        "complained",
        "rejected",
        "delayed",
    }
)
"""Each of these proves that SES took the message."""

PersonalKind = Literal["unsubscribed", "complained", "bounced"]
"""Kinds of events that say something about the person, beyond the message."""

_PERSONAL: Final[dict[EventKind, PersonalKind]] = {
    "unsubscribed": "unsubscribed",
    "complained": "complained",
    "bounced": "bounced",
}
_TIMES: Final = (
    "accepted_at",
    "delivered_at",
    "bounced_at",
    "acted_at",
)
"""Columns written here; `opened_at` and `clicked_at` follow from the hits."""
_OWN_TIME: Final[dict[EventKind, str]] = {
    "delivered": "delivered_at",
    "bounced": "bounced_at",
    "acted": "acted_at",
}


def _earliest(column: str) -> str:
    return (
        f"{column} = case when delivery.{column} is null or excluded.{column} < delivery.{column}"
        f" then excluded.{column} else delivery.{column} end"
    )


_DELIVERY: Final = Upsert(
    "delivery",
    {
        "send_id": "text",
        "supporter_id": "text",
        "occurrence": "bigint",
        "variant": "text",
        "edition": "text",
        "state": "text",
        **dict.fromkeys(_TIMES, "bigint"),
    },
    ("send_id", "supporter_id", "occurrence"),
    f"""variant = coalesce(delivery.variant, excluded.variant),
        edition = coalesce(delivery.edition, excluded.edition),
        state = case
            when excluded.state is null then delivery.state
            when delivery.state is null or delivery.state in ('unconfirmed', 'failed')
                or excluded.state = 'accepted' then excluded.state
            else delivery.state end,
        {", ".join(_earliest(column) for column in _TIMES)}""",
)
_ACTION: Final = Upsert(
    "action",
    {
        "event_id": "text",
        "supporter_id": "text",
        "action": "text",
        "at": "bigint",
        "send_id": "text",
    },
    ("event_id",),
)
_SENT_AT: Final = """
    select send_id, supporter_id, occurrence, accepted_at from delivery
    where send_id in (select value from json_each(?))
    and supporter_id in (select value from json_each(?)) and accepted_at is not null"""


class Message(NamedTuple):
    """Which message a row is of."""

    send_id: str
    supporter_id: str
    occurrence: int


@dataclass(slots=True)
class Row:
    """What a batch says of one message. Times in milliseconds, by column."""

    variant: str | None = None
    edition: str | None = None
    state: str | None = None
    times: dict[str, int] = field(default_factory=dict)


class Told(NamedTuple):
    """An unsubscribe, a complaint or a bounce, for the profile; by which message, if known."""

    supporter_id: str
    kind: PersonalKind
    at: int
    message: Message | None


@dataclass(slots=True)
class Gathered:
    """What a batch of events says. `touched`: supporter to what a rule may see differently now,
    in the words of `rule_facts`.
    """

    rows: dict[Message, Row] = field(default_factory=dict)
    actions: list[tuple[str, str, str, int, str | None]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    touched: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def gather(events: Iterable[tuple[str, Event]]) -> Gathered:
    """`events`: each with its id (`ce_id`). Raises NeverRetry for one that says nothing."""
    gathered = Gathered()
    for event_id, event in events:
        _take(gathered, event_id, event)
    return gathered


def write(connection: Database, gathered: Gathered) -> None:
    """Write deliveries and actions; profiles are another room's."""
    _DELIVERY.write(
        connection,
        (
            (*message, row.variant, row.edition, row.state, *map(row.times.get, _TIMES))
            for message, row in gathered.rows.items()
        ),
    )
    _ACTION.write(connection, gathered.actions)


def sent_at(connection: Database, messages: Iterable[Message]) -> dict[Message, int]:
    """When SES took each of the messages, as far as is written."""
    wanted = list(messages)
    if not wanted:
        return {}
    sends = json.dumps(sorted({message.send_id for message in wanted}))
    people = json.dumps(sorted({message.supporter_id for message in wanted}))
    return {
        Message(send_id, supporter_id, occurrence): accepted_at
        for send_id, supporter_id, occurrence, accepted_at in connection.execute(
            _SENT_AT, (sends, people)
        )
    }


def _take(gathered: Gathered, event_id: str, event: Event) -> None:
    if event.at.tzinfo is None:
        raise NeverRetry(f"the {event.kind} event has a time without its zone")
    at = to_ms(event.at)
    kind = event.kind
    if kind == "acted":
        _take_action(gathered, event_id, event, at)
    elif kind == "judged":
        return
    if event.send_id is not None and event.came_by is None:
        _take_row(gathered, event, event.send_id, at)
    personal = _PERSONAL.get(kind)
    if personal is not None:
        message = event.send_id and Message(event.send_id, event.supporter_id, event.occurrence)
        gathered.told.append(Told(event.supporter_id, personal, at, message or None))


def _take_action(gathered: Gathered, event_id: str, event: Event, at: int) -> None:
    if not event.action:
        raise NeverRetry("an acted event that does not name its action")
    gathered.actions.append((event_id, event.supporter_id, event.action, at, event.send_id))
    touched = gathered.touched[event.supporter_id]
    touched.add(f"did:{event.action}")
    if event.send_id is not None:
        touched.add(f"acted:{event.send_id}")


def _take_row(gathered: Gathered, event: Event, send_id: str, at: int) -> None:
    message = Message(send_id, event.supporter_id, event.occurrence)
    row = gathered.rows.get(message)
    if row is None:
        row = gathered.rows[message] = Row()
    row.variant = row.variant if row.variant is not None else event.variant
    row.edition = row.edition if row.edition is not None else event.edition
    kind = event.kind
    if kind in FINAL_KINDS:
        row.state = _higher(row.state, kind)
    if kind in TAKEN_BY_SES:
        _earlier(row, "accepted_at", at)
        gathered.touched[event.supporter_id].add(f"got:{send_id}")
    own = _OWN_TIME.get(kind)
    if own is not None:
        _earlier(row, own, at)


def _earlier(row: Row, column: str, at: int) -> None:
    known = row.times.get(column)
    if known is None or at < known:
        row.times[column] = at


def _higher(known: str | None, state: str) -> str:
    return state if known in (None, "unconfirmed") or state == "accepted" else known or state
