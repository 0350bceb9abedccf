"""A store with people in it, driven the way the loop drives it: batches of decoded records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import apsw

from services.segmenter.people.audience import (
    Chosen,
    Counted,
    Member,
    audience,
    count,
    members_by_id,
)
from services.segmenter.people.folding import Places
from services.segmenter.people.handler import People
from services.segmenter.people.ownership import Owned
from services.segmenter.people.schema import LATER_DDL, PEOPLE_DDL, POSTGRES_DDL
from services.segmenter.people.suppressions import Suppressions
from shared.clock import FixedClock
from shared.ids import address_key
from shared.log.embedded.schema import unpack_headers
from shared.log.partitioner import partition_of
from shared.log.record import Record, Stored
from shared.log.topics import EVENTS, MEMBERSHIPS, SUPPORTERS, SUPPRESSIONS
from shared.loop.delivery import Delivery
from shared.programme.definitions import Segment
from shared.programme.rules import AllOf, Rule
from shared.store.database import dialect_of
from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore
from shared.wire.cloudevents import Envelope, encode
from shared.wire.events import Event
from shared.wire.schema import WireModel
from shared.wire.supporters import Consent, SupporterChanged
from shared.wire.suppressions import Suppression, SuppressionReason

PARTITIONS: Final = 4
SECRET: Final = b"a secret of thirty-two bytes here"
NOON: Final = datetime(2026, 5, 7, 12, 0, tzinfo=UTC)
EVERYONE: Final = AllOf(parts=())
CONSENT: Final = Consent(wording="Yes, mail me", source="web form", at=NOON)

TABLES: Final = (
    "supporter",
    "profile",
    "supporter_tag",
    "supporter_area",
    "supporter_attribute",
    "identity",
    "delivery",
    "action",
    "hit",
    "suppression",
    "live_segment",
    "membership",
    "sweep",
)


def person(number: int) -> str:
    """The id of the person of that number; ids sort as numbers do."""
    return str(UUID(int=number))


def at(minutes: float = 0, *, days: float = 0) -> datetime:
    """So long after noon."""
    return NOON + timedelta(minutes=minutes, days=days)


def key(email: str) -> str:
    return address_key(email, SECRET)


def change(who: str, minutes: float = 0, **stated: Any) -> SupporterChanged:
    """A change by an import, unless said otherwise."""
    stated = {"stated_by": "import", "source": "crm", **stated}
    return SupporterChanged(supporter_id=who, at=at(minutes), **stated)


def event(kind: Any, who: str, minutes: float = 0, *, days: float = 0, **said: Any) -> Event:
    return Event(kind=kind, supporter_id=who, at=at(minutes, days=days), **said)


def sqlite_store(path: Path) -> SqliteStore:
    return SqliteStore(path, (*PEOPLE_DDL, *LATER_DDL), synchronous="NORMAL")


def postgres_store(dsn: str) -> PostgresStore:
    ddl = (*PEOPLE_DDL, *LATER_DDL)
    return PostgresStore(dsn, "segmenter", ddl, postgres_ddl=POSTGRES_DDL)


class World:
    """People in a real store, with a clock that stands still. Owns all partitions, or those given:
    then it is one of several instances.
    """

    def __init__(
        self, store: Store[Unit], places: Places, owned: Iterable[int] = range(PARTITIONS)
    ) -> None:
        self.store = store
        self.connection = store.connection
        self.clock = FixedClock(at(1_000))
        self._places = places
        self.people = People(places, SECRET, PARTITIONS, self.clock)
        self.take(*owned)
        self.suppressions = Suppressions(self.store, dict)
        self._made = 0

    @property
    def owned(self) -> Owned:
        return Owned(self.store.owned(), PARTITIONS)

    def take(self, *partitions: int) -> None:
        for partition in partitions:
            self.store.take(partition)
        self.people.take(self.connection, set(partitions))

    def lose(self, *partitions: int) -> None:
        for partition in partitions:
            self.store.drop(partition)
        self.people.lose(set(partitions))

    def restart(self) -> None:
        """Another process on the same store: nothing in memory but what the store holds."""
        self.people = People(self._places, SECRET, PARTITIONS, self.clock)
        self.take(*self.store.owned())

    def clear(self) -> None:
        """Nobody was ever here."""
        with self.store.unit() as unit:
            for table in (*TABLES, "outbox"):
                unit.connection.execute(f"delete from {table}")
        self.restart()

    def delivery(self, data: WireModel, name: str = "") -> Delivery:
        """A record of `data` as the loop hands it over. The name is its id."""
        self._made += 1
        assert isinstance(data, SupporterChanged | Event)
        topic = SUPPORTERS if isinstance(data, SupporterChanged) else EVENTS
        partition = partition_of(data.supporter_id, PARTITIONS)
        stored = Stored(topic, partition, self._made, None, b"", (), 0)
        name = name or f"record-{self._made}"
        return Delivery(stored, Envelope(name, data.ce_type, "test", "test", data.at, data))

    def hear(self, *heard: WireModel | Delivery) -> Mapping[str, str]:
        """One batch; what `handle` says changed."""
        batch = [one if isinstance(one, Delivery) else self.delivery(one) for one in heard]
        with self.store.unit() as unit:
            return self.people.handle(unit, batch)

    def use(self, **rules: Rule) -> None:
        """Make these the live segments, now."""
        segments = [Segment(name=name, rule=rule) for name, rule in rules.items()]
        self.people.use_segments(segments, self.clock.now())
        while self.people.seed_next(self.store, self.store.owned(), self.clock.now()):
            pass

    def sweep(self, owned: Iterable[int] | None = None) -> int:
        """Of these of the owned partitions; of all when none are named."""
        with self.store.unit() as unit:
            mine = self.store.owned() if owned is None else frozenset(owned)
            return self.people.sweep(unit, self.clock.now(), mine)

    def settle(self) -> None:
        """Let a minute pass in which nothing comes, and judge what was opened and clicked."""
        self.clock.advance(60)
        more = True
        while more:
            with self.store.unit() as unit:
                more = self.people.settle(unit, self.store.owned())

    def suppress(
        self, subject: str, scope: str = "everything", reason: SuppressionReason = "unsubscribed"
    ) -> None:
        """Somebody else says so on the topic."""
        self.suppressions.apply(suppression(subject, scope, reason))

    def hear_ourselves(self) -> None:
        """What we said on the suppressions topic comes back by it."""
        for record in self.said(SUPPRESSIONS):
            self.suppressions.apply(
                Stored(
                    record.topic, record.partition, 0, record.key, record.value, record.headers, 0
                )
            )

    def count(self, rule: Rule = EVERYONE, **scopes: str) -> Counted:
        return count(self.connection, rule, self.clock.now(), self.owned, **scopes)

    def audience(self, rule: Rule = EVERYONE, page: int = 2, **scopes: str) -> list[Chosen]:
        """Of the owned partitions, by id."""
        now = self.clock.now()
        return sorted(
            chosen
            for partition in self.store.owned()
            for chosen_of_page in audience(
                self.connection, rule, now, partition, page=page, **scopes
            )
            for chosen in chosen_of_page
        )

    def members(self, rule: Rule = EVERYONE, **scopes: str) -> list[Member]:
        """The audience, with all that a mail needs, by id."""
        ids = [chosen.supporter_id for chosen in self.audience(rule, **scopes)]
        found = list(members_by_id(self.connection, ids, **scopes))
        assert [member.supporter_id for member in found] == ids
        return found

    def mailable(self, rule: Rule = EVERYONE, **scopes: str) -> set[str]:
        return {chosen.supporter_id for chosen in self.audience(rule, **scopes)}

    def said(self, topic: str) -> list[Record]:
        """What waits in the outbox for a topic, in the order it was said."""
        order = "rowid" if dialect_of(self.connection) == "sqlite" else "ctid"
        rows = self.connection.execute(
            "select out_partition, key, value, headers, timestamp_ms from outbox"
            f" where topic = ? order by {order}",
            (topic,),
        )
        return [
            Record(topic, partition, name, value, unpack_headers(headers), timestamp_ms)
            for partition, name, value, headers, timestamp_ms in rows
        ]

    def suppressed(self) -> dict[str, str | None]:
        """Key to reason as said on the topic, the newest last; None: freed."""
        return {
            (record.key or b"").decode(): None
            if record.value is None
            else str(json.loads(record.value)["reason"])
            for record in self.said(SUPPRESSIONS)
        }

    def moves(self) -> list[tuple[str, str, str, str]]:
        """(segment, supporter, entered or left, cause) as emitted."""
        told = [json.loads(record.value or b"") for record in self.said(MEMBERSHIPS)]
        return [(t["segment"], t["supporter_id"], t["change"], t["cause"]) for t in told]

    def belonging(self) -> dict[str, set[str]]:
        """Live segment to its members."""
        found: dict[str, set[str]] = {
            str(name): set()
            for (name,) in self.connection.execute("select segment from live_segment")
        }
        for segment, partition, supporter_id in self.connection.execute(
            "select segment, partition, supporter_id from membership"
        ):
            assert partition == partition_of(supporter_id, PARTITIONS)
            found[str(segment)].add(str(supporter_id))
        return found

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything in the people's tables, for comparing one history with another."""
        return {
            table: sorted(self.connection.execute(f"select * from {table}").fetchall(), key=repr)
            for table in TABLES
        }

    def column(self, name: str, who: str, table: str = "profile") -> Any:
        """One column of one person."""
        rows: Iterator[Any] = self.connection.execute(
            f"select {name} from {table} where supporter_id = ?", (who,)
        )
        return next(rows)[0]


class Overheard:
    """The SQL that is run while it listens, with its values."""

    def __init__(self, world: World) -> None:
        assert isinstance(world.connection, apsw.Connection)
        self._connection = world.connection
        self.statements: list[tuple[str, Any]] = []

    def __enter__(self) -> Self:
        self._connection.exec_trace = self._note
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.exec_trace = None

    def _note(self, _: object, sql: str, values: Any) -> bool:
        self.statements.append((sql, values))
        return True

    def scanned(self) -> set[str]:
        """What was read from end to end, by the plans of the statements."""
        return {
            str(step[3]).removeprefix("SCAN ")
            for sql, values in self.statements
            if sql.lstrip().startswith(("select", "with"))
            for step in self._connection.execute(f"explain query plan {sql}", values)
            if str(step[3]).startswith("SCAN ")
        }


def suppression(subject: str, scope: str, reason: SuppressionReason) -> Stored:
    data = Suppression(subject=subject, scope=scope, reason=reason, at=NOON)
    record = encode(
        data, id=f"s-{data.key}", source="test", subject=subject, time=NOON,
        topic=SUPPRESSIONS, partition=partition_of(data.key, PARTITIONS), key=data.key,
    )  # fmt: skip
    return Stored(record.topic, record.partition, 0, record.key, record.value, record.headers, 0)


def lifting(subject: str, scope: str) -> Stored:
    whole = f"{subject}|{scope}"
    partition = partition_of(whole, PARTITIONS)
    return Stored(SUPPRESSIONS, partition, 0, whole.encode(), None, (), 0)
