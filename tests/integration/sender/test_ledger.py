"""The rules of the ledger, whatever happens in whatever order: outcomes only move up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sender.ledger import Fact, Ledger
from services.sender.schema import LEDGER_DDL
from shared.store.database import Database
from shared.store.postgres.store import PostgresStore
from shared.wire.batches import MessageBatch, RenderedMessage
from shared.wire.events import FINAL_KINDS
from tests.integration.sender.audience import entry, people
from tests.integration.sender.station import Body

PERSON = people(1)[0]
MESSAGE = PERSON.message_of("spring")
FINALS = ("suppressed", "excluded", "expired", "cancelled")
STATES = {"ready", "attempting", *FINAL_KINDS}


Fresh = Callable[[], AbstractContextManager[Database]]


@pytest.fixture(scope="module")
def fresh(body: Body) -> Iterator[Fresh]:
    """Opens an empty ledger, again and again."""
    store = None if body is None else PostgresStore(body(), "sender", LEDGER_DDL)

    @contextmanager
    def in_memory() -> Iterator[Database]:
        with closing(apsw.Connection(":memory:")) as database:
            for statement in LEDGER_DDL:
                database.execute(statement)
            yield database

    @contextmanager
    def undone() -> Iterator[Database]:
        assert store is not None
        with suppress(ZeroDivisionError), store.connection.transaction():
            yield store.connection
            raise ZeroDivisionError

    yield in_memory if store is None else undone
    if store is not None:
        store.close()


def often(body: Body) -> settings:
    """PostgreSQL has the same rules by the same text: fewer examples show it."""
    return settings(max_examples=100 if body is None else 25, deadline=None)


class World:
    """One message in a ledger, and everything that can happen to it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = Ledger(database)
        batch = MessageBatch(batch_id="batch", partition=0, entries=(entry("spring", PERSON),))
        assert self.ledger.take_in([(batch, b"content")], 1) == []
        self.now = 1
        self.called = 0

    def row(self) -> dict[str, object]:
        names = ("state", "settled", "attempt", "batch_id")
        ((row),) = self.database.execute(f"select {','.join(names)} from message")
        return dict(zip(names, row, strict=True))

    def happen(self, what: str) -> Fact | None:
        self.now += 1
        told = HAPPENINGS[what](self)
        assert len(told or []) <= 1
        return told[0] if told else None

    def attempt(self) -> None:
        candidates = self.ledger.pick("spring", [0], 10)
        self.ledger.attempt(candidates, self.now)
        self.called += len(candidates)

    def put_back(self) -> None:
        if self.row()["state"] == "attempting":
            self.called -= 1
        self.ledger.put_back([MESSAGE], self.now)


HAPPENINGS: dict[str, Callable[[World], list[Fact] | None]] = {
    "attempt": World.attempt,
    "answer": lambda w: w.ledger.accept([(MESSAGE, "ses-1")], w.now),
    "event": lambda w: w.ledger.accept([(MESSAGE, "ses-1"), (MESSAGE, "ses-1")], w.now),
    "refused": lambda w: w.ledger.finish([(MESSAGE, "failed", "no")], w.now, expected="attempting"),
    "doubt": lambda w: w.ledger.doubt([(MESSAGE, "silence")], w.now, w.now),
    "put back": World.put_back,
    "killed": lambda w: w.ledger.doubt_interrupted([0], w.now, w.now),
    "leave": lambda w: w.ledger.leave([(MESSAGE, "over")], w.now),
    "resend": lambda w: w.ledger.resend([(MESSAGE, "once more")], w.now),
    **{
        state: lambda w, state=state: w.ledger.finish(  # type: ignore[misc]
            [(MESSAGE, state, "because")], w.now, expected="ready"
        )
        for state in FINALS
    },
}  # fmt: skip


happenings = st.lists(st.sampled_from(sorted(HAPPENINGS)), max_size=20)


def test_outcomes_only_move_up(fresh: Fresh, body: Body) -> None:
    @often(body)
    @given(happenings)
    def holds(happenings: list[str]) -> None:
        with fresh() as database:
            world = World(database)
            doubted = False
            for what in happenings:
                before = world.row()
                world.happen(what)
                doubted = doubted or world.row()["state"] == "unconfirmed"
                assert_moved_up(world, before, doubted=doubted)
            end = world.row()
            if end["state"] in {*FINALS, "accepted"}:
                assert world.ledger.content("batch") is None
            elif end["state"] == "failed":
                assert world.ledger.content("batch") == b"content", "a retry may be ordered"

    holds()


def assert_moved_up(world: World, before: dict[str, object], *, doubted: bool) -> None:
    after = world.row()
    assert after["state"] in STATES
    assert after["attempt"] == world.called
    if before["state"] == "accepted":
        assert after == before, "nothing ever leaves accepted"
    if before["state"] in FINALS or before["state"] == "failed":
        assert after["state"] in {before["state"], "accepted"}
    if before["state"] == "unconfirmed":
        assert after["state"] in {"unconfirmed", "accepted", "ready"}
    if doubted:
        assert after["state"] not in {*FINALS, "failed"}, "it may have been mailed"
    if after["state"] in {"ready", "attempting", "unconfirmed"}:
        assert world.ledger.content("batch") == b"content", "it may have to be sent again"


def test_each_change_to_an_outcome_is_told_as_it_stands(fresh: Fresh, body: Body) -> None:
    """What goes out on `events` is the state of that moment, and nothing is told twice."""

    @often(body)
    @given(happenings)
    def holds(happenings: list[str]) -> None:
        with fresh() as database:
            world = World(database)
            told: list[tuple[str, int, int]] = []
            for what in happenings:
                fact = world.happen(what)
                row = world.row()
                if fact is not None:
                    # A resend is told as the doubt it leaves, until its own attempt has an end.
                    state = "unconfirmed" if what == "resend" else row["state"]
                    assert (fact.state, fact.settled) == (state, row["settled"])
                    told.append((fact.state, fact.settled, fact.attempt))
            final = world.row()
            if final["state"] in FINAL_KINDS:
                assert told[-1][:2] == (final["state"], final["settled"])

    holds()


def test_a_refused_resend_stays_unconfirmed(fresh: Fresh) -> None:
    with fresh() as database:
        world = World(database)
        for what in ("attempt", "doubt", "resend", "attempt"):
            world.happen(what)

        fact = world.happen("refused")

        assert fact is not None
        assert (fact.state, fact.settled, fact.reason) == ("unconfirmed", 1, "not resent: no")


def test_the_content_of_a_batch_stays_while_anybody_needs_it(fresh: Fresh) -> None:
    first, second = people(2, "content")
    with fresh() as database:
        ledger = Ledger(database)
        entries = (entry("spring", first), entry("spring", second, mail=None, refusal="no"))
        batch = MessageBatch(batch_id="batch", partition=0, entries=entries)

        (refused,) = ledger.take_in([(batch, b"content")], 1)

        assert (refused.state, refused.reason) == ("failed", "no")
        assert ledger.content("batch") == b"content"
        ledger.accept([(first.message_of("spring"), None)], 2)
        assert ledger.content("batch") is None


HOUSEHOLDS = people(6, "home", to_an_inbox=3)
entries = st.builds(
    entry,
    st.sampled_from(["spring", "autumn"]),
    st.sampled_from(HOUSEHOLDS),
    per_inbox=st.booleans(),
    mail=st.sampled_from(["a mail", "a mail", "a mail", "", "caf\u00e9"]),
)
intakes = st.lists(st.lists(st.lists(entries, max_size=5), max_size=3), max_size=3)


class OneByOne:
    """The oracle: what intake means, told message by message."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.open: dict[str, int] = {}
        self._inboxes: set[tuple[str, str]] = set()

    def take_in(self, batches: Sequence[MessageBatch]) -> set[str]:
        """Ids of those that are final already."""
        finals = set()
        came = [(batch, one) for batch in batches for one in batch.entries]
        first = {one.message_id: (batch, one) for batch, one in reversed(came)}
        for batch, one in sorted(first.values(), key=lambda pair: _by_inbox(pair[1])):
            if one.message_id in self.states:
                continue
            inbox = (one.send_id, one.address_key)
            state = "ready" if one.mail and one.mail.isascii() else "failed"
            if one.per_inbox and inbox in self._inboxes:
                state = "capped"
            elif one.per_inbox:
                self._inboxes.add(inbox)
            self.states[one.message_id] = state
            if state == "ready":
                self.open[batch.batch_id] = self.open.get(batch.batch_id, 0) + 1
            else:
                finals.add(one.message_id)
        return finals


def _by_inbox(one: RenderedMessage) -> tuple[Any, ...]:
    return one.send_id, one.occurrence, one.address_key, one.message_id


def test_taking_in_many_at_once_is_taking_in_one_by_one(fresh: Fresh, body: Body) -> None:
    @often(body)
    @given(intakes)
    def holds(intakes: list[list[list[RenderedMessage]]]) -> None:
        with fresh() as database:
            ledger, oracle = Ledger(database), OneByOne()
            for turn, found in enumerate(intakes):
                batches = [
                    MessageBatch(batch_id=f"{turn}-{n}", partition=0, entries=tuple(some))
                    for n, some in enumerate(found)
                ]
                finals = ledger.take_in([(batch, b"content") for batch in batches], turn)
                assert {fact.message_id for fact in finals} == oracle.take_in(batches)
                assert all(fact.state in {"failed", "capped"} for fact in finals)
            states = dict(database.execute("select message_id, state from message"))
            assert states == oracle.states
            assert dict(database.execute("select batch_id, open from batch")) == oracle.open

    holds()


def ready(count: int, send: str = "spring", partition: int = 0, **changes: Any) -> MessageBatch:
    found = people(count, f"{send}{partition}")
    return MessageBatch(
        batch_id=f"{send}-{partition}", partition=partition,
        entries=tuple(entry(send, person, **changes) for person in found),
    )  # fmt: skip


def test_messages_are_picked_in_the_order_they_came_partition_by_partition(fresh: Fresh) -> None:
    first, second, other = ready(30), ready(20, partition=1), ready(10, "autumn")
    with fresh() as database:
        ledger = Ledger(database)
        ledger.take_in([(first, b""), (second, b"")], 1)
        ledger.take_in([(other, b"")], 1)
        wanted = [one.message_id for one in (*first.entries, *second.entries)]

        def picked(partitions: list[int], limit: int) -> list[str]:
            return [c.message_id for c in ledger.pick("spring", partitions, limit)]

        assert picked([0, 1], 100) == wanted
        assert picked([0, 1], 35) == wanted[:35]
        assert picked([1], 5) == wanted[30:35]
        assert picked([7], 5) == picked([], 5) == []
        ledger.attempt(ledger.pick("spring", [0, 1], 2), 2)
        ledger.put_back(wanted[1:2], 3)
        assert picked([0, 1], 3) == wanted[1:4]


def test_sends_with_work_come_by_urgency_and_deadline(fresh: Fresh) -> None:
    with fresh() as database:
        ledger = Ledger(database)
        assert ledger.sends_with_ready() == []
        wanted = {
            "urgent": {"priority": "urgent"},
            "near": {"deadline": "2026-05-01T00:00:00Z"},
            "far": {"deadline": "2026-06-01T00:00:00Z"},
            "never": {},
            "low": {"priority": "low", "deadline": "2026-05-01T00:00:00Z"},
        }
        for partition, (send, changes) in enumerate(reversed(wanted.items())):
            ledger.take_in([(ready(3, send, partition, **changes), b"")], 1)
        assert ledger.sends_with_ready() == list(wanted)
        ledger.attempt(ledger.pick("near", [3], 3), 2)
        assert ledger.sends_with_ready() == ["urgent", "far", "never", "low"]


def test_what_settling_and_upkeep_ask_is_about_owned_partitions(fresh: Fresh) -> None:
    with fresh() as database:
        ledger = Ledger(database)
        ledger.take_in([(ready(2, partition=n, deadline=_PAST), b"") for n in (0, 1)], 1)
        mine = {one.message_id for one in ready(2).entries}
        assert ledger.overdue(2**50, [0], 9) == mine
        assert ledger.ready_of("spring", [0], 9) == mine
        ledger.attempt(ledger.pick("spring", [0, 1], 9), 2)
        assert {f.message_id for f in ledger.doubt_interrupted([0], 9, 3)} == mine
        assert {f.partition for f in ledger.doubt_interrupted([1], 9, 3)} == {1}
        assert {one.message_id for one in ledger.in_doubt([0], 9)} == mine
        ledger.leave([(one.message_id, "over") for one in ledger.in_doubt([0, 1], 9)], 4)
        assert {one.message_id for one in ledger.settled_unconfirmed("spring", 5, [0])} == mine
        assert ledger.settled_unconfirmed("spring", 4, [0]) == []


_PAST = "2026-01-01T00:00:00Z"


def test_holds_are_lifted_by_later_orders_only(fresh: Fresh) -> None:
    with fresh() as database:
        ledger = Ledger(database)
        ledger.hold({"spring": "no identity", "autumn": "no identity"}, 10)
        ledger.hold({"spring": "not verified"}, 20)
        assert ledger.holds() == {"spring": 20, "autumn": 10}
        ledger.unhold({"spring": 15, "autumn": 15})
        assert ledger.holds() == {"spring": 20}


def test_what_ses_took_in_silence_is_noted_until_it_tells(fresh: Fresh) -> None:
    with fresh() as database:
        ledger = Ledger(database)
        ledger.take_in([(ready(3, partition=0), b"")], 1)
        first, second, third = ledger.pick("spring", [0], 3)
        ledger.attempt([first], 10_000)
        ledger.attempt([second, third], 20_000)
        names = [candidate.message_id for candidate in (first, second)]
        ledger.accept([(message_id, None) for message_id in names], 20_500)
        assert ledger.unheard(10_000, 20_000)
        assert not ledger.unheard(10_001, 19_999)

        assert ledger.hear([names[0], "nobody"], 12_000) == set()
        assert not ledger.unheard(0, 19_999)
        assert ledger.hear(names, 26_000) == set()
        assert not ledger.unheard(0, 30_000)
        assert ledger.hear([third.message_id], 24_000) == {third.message_id}


def test_when_something_of_ses_reached_us_is_known_for_a_while(fresh: Fresh) -> None:
    with fresh() as database:
        ledger = Ledger(database)
        ledger.note_told([10_100, 10_200, 20_400])
        ledger.note_told([10_300])
        assert ledger.witnessed(9_999, 10_500)
        assert not ledger.witnessed(10_000, 19_999)
        assert ledger.witnessed(19_999, 20_500)
        ledger.forget_heard(20_000)
        assert not ledger.witnessed(0, 19_999)
        assert ledger.witnessed(0, 20_500)


def test_nobody_is_a_witness_for_what_a_lost_ledger_called(fresh: Fresh) -> None:
    with fresh() as database:
        ledger = Ledger(database)
        ledger.take_in([(ready(1, partition=0), b"")], 1)
        ledger.attempt(ledger.pick("spring", [0], 1), 10_000)
        ledger.doubt_all("ledger restored", 20_000, 15_000, 10)
        (doubt,) = ledger.in_doubt([0], 10)
        assert doubt.attempted_ms is None
