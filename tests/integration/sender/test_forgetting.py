"""Forgetting people in a ledger: what goes, what stays, and that nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from services.sender.forgetting import ROWS, Forgetting
from services.sender.last_look import Orders, look
from services.sender.ledger import Ledger
from services.sender.schema import LEDGER_DDL
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore
from shared.wire.batches import MessageBatch, RenderedMessage
from tests.integration.sender.audience import Person, entry, people
from tests.integration.sender.station import Body

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TABLES = ("message", "batch", "outbox", "send_hold")
OPEN, OTHER, *MORE = people(10, "forgotten")
Opened = Callable[[], Store[Unit]]


@pytest.fixture
def opened(body: Body, tmp_path: Path) -> Iterator[Opened]:
    """Opens the same ledger again and again."""
    dsn, stores = None if body is None else body(), []

    def open_it() -> Store[Unit]:
        store: Store[Unit]
        if dsn is None:
            for one in stores:
                one.close()
            store = SqliteStore(tmp_path / "ledger.db", LEDGER_DDL, synchronous="FULL")
        else:
            store = PostgresStore(dsn, "sender", LEDGER_DDL)
        stores.append(store)
        return store

    yield open_it
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Opened) -> Store[Unit]:
    """With number 0 taken, and 1 left to others."""
    made = opened()
    made.take(0)
    return made


def packed(name: str, *entries: RenderedMessage, partition: int = 0) -> tuple[MessageBatch, bytes]:
    batch = MessageBatch(batch_id=name, partition=partition, entries=entries)
    return batch, zstandard.compress(batch.model_dump_json(exclude_none=True).encode())


def take_in(store: Store[Unit], *batches: tuple[MessageBatch, bytes]) -> None:
    with store.unit() as unit:
        Ledger(unit.connection).take_in(batches, 1)


class Erasing:
    """Whom it is told to forget may grow."""

    def __init__(self, store: Store[Unit], *subjects: str) -> None:
        self.subjects = frozenset(subjects)
        self.forgetting = Forgetting(store, lambda: self.subjects, FailPoints(""), Metrics("t"))
        self._now = NOW

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self._now += timedelta(seconds=1)
            self.forgetting.tick(self._now)


def addresses(store: Store[Unit], send: str = "spring") -> dict[str, str]:
    """Message id to address."""
    return dict(
        store.connection.execute(
            "select message_id, to_address from message where send_id = ?", (send,)
        )
    )


def row(store: Store[Unit], person: Person, send: str = "spring") -> tuple[object, ...]:
    (found,) = store.connection.execute(
        "select state, settled, reason, to_address from message where message_id = ?",
        (person.message_of(send),),
    ).fetchall()
    return tuple(found)


def tables_with(store: Store[Unit], person: Person) -> list[str]:
    """Tables that hold the address somewhere."""
    return [
        table for table in TABLES
        if any(
            person.address in _text(cell)
            for found in store.connection.execute(f"select * from {table}")
            for cell in found
        )
    ]  # fmt: skip


def _text(cell: object) -> str:
    if not isinstance(cell, bytes):
        return str(cell)
    if cell.startswith(b"\x28\xb5\x2f\xfd"):
        cell = zstandard.ZstdDecompressor().decompress(cell, max_output_size=1 << 26)
    return cell.decode("latin-1")


def mails(store: Store[Unit], batch_id: str) -> list[str | None]:
    content = Ledger(store.connection).content(batch_id)
    assert content is not None
    body = zstandard.ZstdDecompressor().decompress(content, max_output_size=1 << 26)
    return [one.get("mail") for one in json.loads(body)["entries"]]


@pytest.mark.parametrize("by", ["supporter_id", "address_key"])
def test_every_state_keeps_its_message_and_loses_its_person(store: Store[Unit], by: str) -> None:
    sends = ("accepted", "in-doubt", "failed", "ready")
    entries = [entry(send, person) for send in sends for person in (OPEN, OTHER)]
    refused = entry("refused", OPEN, mail=None, refusal="a field is missing")
    take_in(store, packed("b", *entries, refused))
    with store.unit() as unit:
        ledger = Ledger(unit.connection)
        for send in sends[:3]:
            ledger.attempt(ledger.pick(send, [0], 2), 2)
        ledger.accept([(OPEN.message_of("accepted"), "ses-1")], 3)
        ledger.doubt([(OPEN.message_of("in-doubt"), "silence")], 9, 3)
        ledger.finish([(OPEN.message_of("failed"), "failed", "no")], 3, expected="attempting")
    before = {send: addresses(store, send)[OTHER.message_of(send)] for send in sends}

    Erasing(store, getattr(OPEN, by)).tick()

    assert row(store, OPEN, "accepted") == ("accepted", 1, None, "")
    assert row(store, OPEN, "in-doubt") == ("unconfirmed", 0, "silence", "")
    assert row(store, OPEN, "failed") == ("failed", 1, "no", "")
    assert row(store, OPEN, "refused") == ("failed", 1, "a field is missing", "")
    assert row(store, OPEN, "ready") == ("suppressed", 1, "erased", "")
    assert tables_with(store, OPEN) == []
    assert {send: addresses(store, send)[OTHER.message_of(send)] for send in sends} == before
    wanted = [None if one.supporter_id == OPEN.supporter_id else one.mail for one in entries]
    assert mails(store, "b") == [*wanted, None], "everybody else's mail is where it was"


def test_what_ends_is_told_once(store: Store[Unit]) -> None:
    take_in(store, packed("b", entry("spring", OPEN), entry("spring", OTHER)))
    erasing = Erasing(store, OPEN.supporter_id, OPEN.address_key)

    erasing.tick(3)
    erasing.forgetting.assigned()
    erasing.tick(3)

    (waiting,) = store.pending(0, 0, 10)
    assert dict(waiting.record.headers)["ce_type"] == b"doorstep.suppressed"
    assert waiting.record.key == OPEN.supporter_id.encode()


def test_a_batch_that_nobody_needs_any_more_leaves(store: Store[Unit]) -> None:
    take_in(store, packed("b", entry("spring", OPEN)))

    Erasing(store, OPEN.supporter_id).tick()

    assert Ledger(store.connection).content("b") is None


def test_a_mail_that_was_never_needed_is_taken_out_too(store: Store[Unit]) -> None:
    """The second of an inbox is capped: its row never named the batch that holds its mail."""
    first, second = people(2, "one-inbox", to_an_inbox=2)
    take_in(store, packed("a", entry("spring", first), entry("spring", OTHER)))
    take_in(store, packed("b", entry("spring", second), *[entry("spring", one) for one in MORE]))
    assert row(store, second)[0] == "capped"

    Erasing(store, second.address_key).tick()

    assert tables_with(store, first) == []
    assert mails(store, "b")[0] is None
    assert all(mails(store, "b")[1:])


@pytest.mark.parametrize("answer", ["taken", "not taken", "none"])
def test_a_call_that_is_under_way_is_answered_first(store: Store[Unit], answer: str) -> None:
    take_in(store, packed("b", entry("spring", OPEN), entry("spring", OTHER)))
    message = OPEN.message_of("spring")
    with store.unit() as unit:
        ledger = Ledger(unit.connection)
        ledger.attempt(ledger.pick("spring", [0], 1), 2)
    erasing = Erasing(store, OPEN.supporter_id)

    erasing.tick(3)
    assert row(store, OPEN) == ("attempting", 1, None, OPEN.address)
    with store.unit() as unit:
        ledger = Ledger(unit.connection)
        if answer == "taken":
            ledger.accept([(message, "ses-1")], 3)
        elif answer == "not taken":
            ledger.put_back([message], 3)
        else:
            ledger.doubt_interrupted([0], 9, 3)
    erasing.tick(2)

    assert (
        row(store, OPEN)
        == {
            "taken": ("accepted", 1, None, ""),
            "not taken": ("suppressed", 1, "erased", ""),
            "none": ("unconfirmed", 0, "interrupted during the call", ""),
        }[answer]
    )
    assert tables_with(store, OPEN) == []


def test_what_is_to_be_sent_once_more_is_not(store: Store[Unit]) -> None:
    message = OPEN.message_of("spring")
    take_in(store, packed("b", entry("spring", OPEN, resend_unconfirmed=True)))
    with store.unit() as unit:
        ledger = Ledger(unit.connection)
        ledger.attempt(ledger.pick("spring", [0], 1), 2)
        ledger.doubt([(message, "silence")], 9, 3)
    Erasing(store, OPEN.supporter_id).tick()

    with store.unit() as unit:
        ledger = Ledger(unit.connection)
        ledger.resend([(message, "once more")], 4)
        (candidate,) = ledger.pick("spring", [0], 1)
        # Even when the suppression was lifted meanwhile.
        refusal = look(candidate, {}, Orders(), 5, 0)
        assert refusal == ("suppressed", "erased")
        ledger.finish([(message, *refusal)], 5, expected="ready")

    assert row(store, OPEN) == ("unconfirmed", 1, "not resent: erased", "")
    assert Ledger(store.connection).content("b") is not None, "what is unconfirmed keeps it"
    assert tables_with(store, OPEN) == []


def test_who_comes_after_the_suppression_never_comes_in(store: Store[Unit]) -> None:
    erasing = Erasing(store, OPEN.address_key)
    erasing.tick()
    entries = (entry("spring", OTHER), entry("spring", OPEN), entry("spring", MORE[0]))

    take_in(store, erasing.forgetting.batch_without_erased(*packed("b", *entries)))

    assert row(store, OPEN) == ("suppressed", 1, "erased", "")
    assert tables_with(store, OPEN) == []
    assert mails(store, "b") == [entries[0].mail, None, entries[2].mail]


def test_a_refusal_that_comes_after_the_suppression_says_what_it_said(store: Store[Unit]) -> None:
    erasing = Erasing(store, OPEN.supporter_id)
    erasing.tick()
    refused = entry("spring", OPEN, mail=None, refusal="a field is missing")

    take_in(store, erasing.forgetting.batch_without_erased(*packed("b", refused)))

    assert row(store, OPEN) == ("failed", 1, "a field is missing", "")


def test_numbers_of_others_are_left_to_them_and_done_when_taken(store: Store[Unit]) -> None:
    take_in(store, packed("b", entry("spring", OPEN), entry("spring", OTHER), partition=1))
    erasing = Erasing(store, OPEN.supporter_id)

    erasing.tick(2)
    assert row(store, OPEN)[3] == OPEN.address
    store.take(1)
    erasing.forgetting.assigned()
    erasing.tick()

    assert row(store, OPEN) == ("suppressed", 1, "erased", "")
    assert tables_with(store, OPEN) == []


def test_another_start_finds_what_the_last_one_left_undone(opened: Opened) -> None:
    first = opened()
    first.take(0)
    take_in(first, packed("b", entry("spring", OPEN), entry("spring", OTHER)))
    failing = Forgetting(first, lambda: frozenset({OPEN.supporter_id}), _Broken(""), Metrics("t"))
    with pytest.raises(ZeroDivisionError):
        failing.tick(NOW)
    assert row(first, OPEN) == ("ready", 1, None, OPEN.address), "all of it or nothing"
    assert tables_with(first, OPEN) == ["message", "batch"]

    second = opened()
    second.take(0)
    Erasing(second, OPEN.supporter_id).tick()

    assert tables_with(second, OPEN) == []


class _Broken(FailPoints):
    def reach(self, point: str) -> None:
        if point == "sender.forget.before_commit":
            raise ZeroDivisionError


def test_many_are_forgotten_a_few_a_turn(store: Store[Unit]) -> None:
    crowd = people(ROWS + 10, "crowd")
    take_in(store, packed("b", *(entry("spring", one) for one in (*crowd, OTHER))))
    erasing = Erasing(store, *(one.supporter_id for one in crowd))

    erasing.tick()
    left = [address for address in addresses(store).values() if address]
    assert len(left) == 11
    erasing.tick()

    assert [address for address in addresses(store).values() if address] == [OTHER.address]
    assert len([mail for mail in mails(store, "b") if mail]) == 1


class _Counting:
    """A connection that counts what it is asked."""

    def __init__(self, store: Store[Unit]) -> None:
        self._store, self.asked = store, 0

    def __getattr__(self, name: str) -> object:
        if name == "connection":
            self.asked += 1
        return getattr(self._store, name)


def test_nothing_is_asked_when_nothing_is_due(store: Store[Unit]) -> None:
    take_in(store, packed("b", entry("spring", OPEN)))
    counting = _Counting(store)
    erasing = Erasing(counting, OPEN.supporter_id)  # type: ignore[arg-type]
    erasing.tick(3)
    asked = counting.asked

    erasing.tick(5)
    assert counting.asked == asked
    erasing.subjects = erasing.subjects | {OTHER.supporter_id}
    erasing.tick()
    assert counting.asked == asked + 1


def test_rows_of_a_person_are_found_by_an_index(store: Store[Unit]) -> None:
    if isinstance(store, PostgresStore):
        pytest.skip("its planner reads a small table whole")
    asked: list[str] = []
    store.connection.exec_trace = lambda _c, sql, _p: asked.append(sql) or True  # type: ignore[attr-defined, func-returns-value]
    Erasing(store, OPEN.supporter_id).tick()
    store.connection.exec_trace = None  # type: ignore[attr-defined]
    (question,) = [sql for sql in asked if "union" in sql]

    plan = store.connection.execute(f"explain query plan {question}", ("[]",) * 4 + (1,))

    said = " ".join(str(step[-1]) for step in plan)
    assert "message_supporter" in said
    assert "message_address" in said
    assert "SCAN message" not in said


def test_sqlite_overwrites_what_is_forgotten(
    store: Store[Unit], opened: Opened, tmp_path: Path
) -> None:
    if isinstance(store, PostgresStore):
        pytest.skip("vacuum does it there")
    file = tmp_path / "ledger.db"
    alone = people(3, "alone")
    take_in(store, packed("b", *(entry("spring", one) for one in alone)))
    take_in(store, packed("c", entry("autumn", alone[0]), entry("autumn", OTHER)))
    store.close()
    assert alone[0].address.encode() in file.read_bytes()
    again = opened()
    again.take(0)

    Erasing(again, *(one.supporter_id for one in alone)).tick()

    again.close()  # the write-ahead log goes into the file
    assert not file.with_name("ledger.db-wal").exists()
    assert alone[0].address.encode() not in file.read_bytes()
    assert OTHER.address.encode() in file.read_bytes()


def test_the_books_of_somebody_forgotten_stay_whole(store: Store[Unit]) -> None:
    crowd = people(6, "books")
    take_in(store, packed("b", *(entry("spring", one) for one in crowd)))
    with store.unit() as unit:
        ledger = Ledger(unit.connection)
        ledger.attempt(ledger.pick("spring", [0], 3), 2)
    erasing = Erasing(store, *(one.supporter_id for one in crowd))
    erasing.tick(2)

    # An event of SES lifts it as ever.
    with store.unit() as unit:
        told = [(crowd[0].message_of("spring"), "ses-1"), (crowd[5].message_of("spring"), None)]
        facts = Ledger(unit.connection).accept(told, 9)
    erasing.tick(2)

    assert [fact.state for fact in facts] == ["accepted", "accepted"]
    found = store.connection.execute("select state, count(*) from message group by 1 order by 1")
    assert dict(found) == {"accepted": 2, "attempting": 2, "suppressed": 2}
    assert sum(address == "" for address in addresses(store).values()) == 4
