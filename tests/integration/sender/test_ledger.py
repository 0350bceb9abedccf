"""The rules of the ledger, whatever happens in whatever order: outcomes only move up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import apsw
from hypothesis import given
from hypothesis import strategies as st

from services.sender.ledger import Fact, Ledger
from services.sender.schema import LEDGER_DDL
from shared.wire.batches import MessageBatch
from shared.wire.events import FINAL_KINDS
from tests.integration.sender.audience import entry, people

PERSON = people(1)[0]
MESSAGE = PERSON.message_of("spring")
FINALS = ("suppressed", "excluded", "expired", "cancelled")
STATES = {"ready", "attempting", *FINAL_KINDS}


class World:
    """One message in a ledger, and everything that can happen to it."""

    def __init__(self, database: apsw.Connection) -> None:
        self.database = database
        for statement in LEDGER_DDL:
            database.execute(statement)
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


@given(st.lists(st.sampled_from(sorted(HAPPENINGS)), max_size=25))
def test_outcomes_only_move_up(happenings: list[str]) -> None:
    with closing(apsw.Connection(":memory:")) as database:
        world = World(database)
        doubted = False
        for what in happenings:
            before = world.row()
            world.happen(what)
            after = world.row()

            assert after["state"] in STATES
            assert after["attempt"] == world.called
            if before["state"] == "accepted":
                assert after == before, "nothing ever leaves accepted"
            if before["state"] in FINALS or before["state"] == "failed":
                assert after["state"] in {before["state"], "accepted"}
            if before["state"] == "unconfirmed":
                assert after["state"] in {"unconfirmed", "accepted", "ready"}
            doubted = doubted or after["state"] == "unconfirmed"
            if doubted:
                assert after["state"] not in {*FINALS, "failed"}, "it may have been mailed"
            if after["state"] in {"ready", "attempting", "unconfirmed"}:
                assert world.ledger.content("batch") == b"content", "it may have to be sent again"
        if world.row()["state"] in {*FINALS, "failed", "accepted"}:
            assert world.ledger.content("batch") is None


@given(st.lists(st.sampled_from(sorted(HAPPENINGS)), max_size=15))
def test_each_change_to_an_outcome_is_told_as_it_stands(happenings: list[str]) -> None:
    """What goes out on `events` is the state of that moment, and nothing is told twice."""
    with closing(apsw.Connection(":memory:")) as database:
        world = World(database)
        told: list[tuple[str, int, int]] = []
        for what in happenings:
            fact = world.happen(what)
            row = world.row()
            if fact is not None:
                assert (fact.state, fact.settled) == (row["state"], row["settled"])
                told.append((fact.state, fact.settled, fact.attempt))
        final = world.row()
        if final["state"] in FINAL_KINDS:
            assert told[-1][:2] == (final["state"], final["settled"])


def test_a_refused_resend_stays_unconfirmed() -> None:
    with closing(apsw.Connection(":memory:")) as database:
        world = World(database)
        for what in ("attempt", "doubt", "resend", "attempt"):
            world.happen(what)

        fact = world.happen("refused")

        assert fact is not None
        assert (fact.state, fact.settled, fact.reason) == ("unconfirmed", 1, "not resent: no")


def test_the_content_of_a_batch_stays_while_anybody_needs_it() -> None:
    first, second = people(2, "content")
    with closing(apsw.Connection(":memory:")) as database:
        for statement in LEDGER_DDL:
            database.execute(statement)
        ledger = Ledger(database)
        entries = (entry("spring", first), entry("spring", second, mail=None, refusal="no"))
        batch = MessageBatch(batch_id="batch", partition=0, entries=entries)

        (refused,) = ledger.take_in([(batch, b"content")], 1)

        assert (refused.state, refused.reason) == ("failed", "no")
        assert ledger.content("batch") == b"content"
        ledger.accept([(first.message_of("spring"), None)], 2)
        assert ledger.content("batch") is None
