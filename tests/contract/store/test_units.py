"""What every body of a store holds: units are atomic, parts are undone alone, order is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

import pytest

from shared.errors import Fenced, StoreRefuses
from shared.log.record import Record, TopicPartition
from shared.loop.patience import MOST_CONFLICTS, Patience
from shared.loop.work import is_ours
from shared.store.database import copy_rows, insert_new
from shared.store.port import Store, Unit
from tests.contract.store.conftest import Opening

T = TypeVar("T")
PLACE = TopicPartition("in", 0)


def record(number: int, partition: int = 0) -> Record:
    return Record("out", partition, b"key", f"value {number}".encode(), (("name", b"x"),), number)


@contextmanager
def undone(block: AbstractContextManager[T]) -> Iterator[T]:
    """The block, which raises at its end."""
    with suppress(ZeroDivisionError), block as inside:
        yield inside
        raise ZeroDivisionError


def names(store: Store[Unit]) -> list[str]:
    return [name for (name,) in store.connection.execute("select name from kept order by name")]


def keep(unit: Unit, name: str) -> None:
    unit.connection.execute("insert into kept(name) values (?)", (name,))


def test_a_unit_is_all_or_nothing(store: Store[Unit]) -> None:
    with store.unit() as unit:
        keep(unit, "first")
        unit.emit(0, record(1))
        unit.advance(PLACE, None, 10)
    with undone(store.unit()) as unit:
        keep(unit, "second")
        unit.emit(0, record(2))
        unit.advance(PLACE, 10, 20)

    assert names(store) == ["first"]
    assert store.positions(0) == {PLACE: 10}
    assert [row.record for row in store.pending(0, 0, 10)] == [record(1)]
    assert store.last_seq(0) == 1


def test_a_part_is_undone_alone_with_what_it_emitted(store: Store[Unit]) -> None:
    with store.unit() as unit:
        keep(unit, "before")
        unit.emit(0, record(1))
        with undone(unit.part()):
            keep(unit, "undone")
            unit.emit(1, record(2))
            unit.emit(0, record(3))
        with unit.part():
            keep(unit, "part")
            unit.emit(0, record(4))
            with undone(unit.part()):
                unit.emit(0, record(5))
        unit.emit(1, record(6))

    assert names(store) == ["before", "part"]
    assert [(row.seq, row.record) for row in store.pending(0, 0, 10)] == [
        (1, record(1)), (2, record(4)),
    ]  # fmt: skip
    assert [(row.seq, row.record) for row in store.pending(1, 0, 10)] == [(1, record(6))]


def test_a_statement_that_fails_in_a_part_does_not_take_the_unit_with_it(
    store: Store[Unit],
) -> None:
    with store.unit() as unit:
        keep(unit, "one")
        with pytest.raises(Exception, match="nowhere"), unit.part():
            unit.connection.execute("insert into nowhere values (1)")
        keep(unit, "two")
    assert names(store) == ["one", "two"]


def test_what_a_unique_index_refuses_for_good_is_told_and_not_tried_for_ever(
    store: Store[Unit],
) -> None:
    """In a part it is the record's fault, whose handler wrote there; else the program's."""
    with store.unit() as unit:
        keep(unit, "one")
        with pytest.raises(Exception, match="kept") as caught, unit.part():
            keep(unit, "one")
        assert not is_ours(caught.value)

    tries: list[str] = []

    def again() -> None:
        tries.append("once more")
        with store.unit() as unit:
            keep(unit, "two")
            keep(unit, "one")

    patience = Patience(60, threading.Event(), lambda _: None)
    with pytest.raises(StoreRefuses, match="kept"):
        patience.insist(again)
    assert len(tries) <= MOST_CONFLICTS + 1
    assert names(store) == ["one"]


def test_what_is_emitted_is_numbered_in_order_without_gaps(store: Store[Unit]) -> None:
    for number in range(0, 30, 3):
        with undone(store.unit()) as unit:
            unit.emit(0, record(99))
        with store.unit() as unit:
            for more in range(3):
                unit.emit(0, record(number + more))
                unit.emit(1, record(number + more, 1))

    for partition in (0, 1):
        rows = store.pending(partition, 0, 100)
        assert [row.seq for row in rows] == list(range(1, 31))
        assert [row.record for row in rows] == [record(n, partition) for n in range(30)]
        assert store.last_seq(partition) == 30
    assert store.last_seqs() == {0: 30, 1: 30}


def test_a_record_comes_back_as_it_was(store: Store[Unit]) -> None:
    odd = Record("out", 3, None, None, (), 0)
    large = Record("out", 3, b"\x00\xff\\", bytes(range(256)) * 4_000, (("a", b""), ("a", b"2")), 2)
    with store.unit() as unit:
        unit.emit(0, odd)
        unit.emit(0, large)
    assert [row.record for row in store.pending(0, 0, 9)] == [odd, large]


def test_published_rows_are_forgotten_and_their_numbers_not_used_again(store: Store[Unit]) -> None:
    with store.unit() as unit:
        for number in range(5):
            unit.emit(0, record(number))
    with store.unit() as unit:
        unit.trim(0, 3)
    assert [row.seq for row in store.pending(0, 0, 10)] == [4, 5]
    assert [row.seq for row in store.pending(0, 4, 10)] == [5]
    assert [row.seq for row in store.pending(0, 0, 1)] == [4]
    with store.unit() as unit:
        unit.trim(0, 5)
    assert store.pending(0, 0, 10) == []
    with store.unit() as unit:
        unit.emit(0, record(6))
    assert [row.seq for row in store.pending(0, 0, 10)] == [6]


def test_a_position_moves_only_from_where_it_was_last_seen(store: Store[Unit]) -> None:
    with store.unit() as unit:
        unit.advance(PLACE, None, 5)
    for old in (None, 4, 6):
        with pytest.raises(Fenced, match="has moved"), store.unit() as unit:
            unit.advance(PLACE, old, 9)
    with store.unit() as unit:
        unit.advance(PLACE, 5, 9)
        unit.advance(TopicPartition("more", 0), None, 1)
    assert store.positions(0) == {PLACE: 9, TopicPartition("more", 0): 1}
    assert store.positions(1) == {}


def test_a_number_that_is_not_owned_cannot_be_touched(store: Store[Unit]) -> None:
    with pytest.raises(Fenced), store.unit() as unit:
        unit.emit(2, record(1))
    with pytest.raises(Fenced), store.unit() as unit:
        unit.advance(TopicPartition("in", 2), None, 1)
    with pytest.raises(Fenced), store.unit() as unit:
        unit.check(0, 1, 2)
    with store.unit() as unit:
        unit.check(1, 0)
    assert store.owned() == {0, 1}
    store.drop(1)
    assert store.owned() == {0}
    with pytest.raises(Fenced), store.unit() as unit:
        unit.check(1)


def test_siblings_take_turns_and_share_what_is_owned(store: Store[Unit]) -> None:
    sibling = store.sibling()
    inside, order = threading.Event(), []

    def other() -> None:
        inside.wait()
        with sibling.unit() as unit:
            unit.emit(0, record(2))
            order.append("sibling")

    thread = threading.Thread(target=other)
    thread.start()
    with store.unit() as unit:
        unit.emit(0, record(1))
        inside.set()
        thread.join(timeout=0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "sibling"]
    assert [row.record for row in store.pending(0, 0, 9)] == [record(1), record(2)]
    store.take(2)
    assert sibling.owned() == {0, 1, 2}
    sibling.close()


def test_a_reader_reads_what_is_committed_and_writes_nothing(store: Store[Unit]) -> None:
    reader = store.reader()
    with store.unit() as unit:
        keep(unit, "one")
        assert reader.execute("select count(*) from kept").fetchall() == [(0,)]
    assert reader.execute("select count(*) from kept").fetchall() == [(1,)]
    with pytest.raises(Exception, match=r"read-?only"):
        reader.execute("delete from kept")
    assert names(store) == ["one"]


def test_a_store_is_known_by_its_id_and_opens_again(opening: Opening) -> None:
    first = opening()
    store_id = first.store_id
    first.take(0)
    with first.unit() as unit:
        unit.emit(0, record(1))
    first.close()
    again = opening()
    assert again.store_id == store_id
    assert again.last_seqs() == {0: 1}
    assert again.owned() == frozenset()


def test_the_same_sql_says_the_same(store: Store[Unit]) -> None:
    """The words of `shared.store.database` on what both understand."""
    database = store.connection
    rows = [
        ("Ä", 1, 0.5, b"\x00"),
        ("a", 2**40, None, None),
        ("B", None, 2.0, b""),
        ("?", -1, 0, b"%"),
    ]
    assert database.executemany("insert into kept values (?, ?, ?, ?)", rows).fetchall() == []
    wanted = sorted(rows, key=lambda row: row[0].encode())

    assert database.execute("select * from kept order by name").fetchall() == wanted
    assert database.execute(
        "select name from kept where name in (select value from json_each(?)) and name <> '?'"
        " order by name",
        (json.dumps(["a", "?", "Ä"]),),
    ).fetchall() == [("a",), ("Ä",)]
    assert sorted(
        database.execute(
            "select name from kept where number in"
            " (select cast(value as bigint) from json_each(?))",
            (json.dumps([1, 2**40, 7]),),
        ).fetchall()
    ) == [("a",), ("Ä",)]
    assert database.execute(
        "select name from kept where number not in"
        " (select cast(value as bigint) from json_each(?)) order by name",
        (json.dumps([1, 2]),),
    ).fetchall() == [("?",), ("a",)]
    assert database.execute("select sum(number), count(*), max(share) from kept").fetchall() == [
        (2**40, 4, 2.0)
    ]
    assert next(database.execute("select 1 where 1 = ?", (True,)), None) == (1,)
    assert next(database.execute("select 1 where 1 = ?", (False,)), None) is None
    database.execute("update kept set number = 7 where share is not null")
    assert database.changes() == 3
    found = database.executemany(
        "update kept set number = ? where name = ? returning name, number",
        [(1, "a"), (2, "nobody"), (3, "B")],
    )
    assert found.fetchall() == [("a", 1), ("B", 3)]
    assert database.execute(
        "select '?', \"name\" from kept where name = ? -- ?", ("a",)
    ).fetchall() == [("?", "a")]
    assert database.executemany("delete from kept where name = ?", []).fetchall() == []


def test_many_rows_go_in_at_once(store: Store[Unit]) -> None:
    columns = ("name", "number", "share", "raw")
    rows = [(f"n{n}", n, n / 2, bytes([n % 256])) for n in range(1_000)]
    rows += [("none", None, None, None), ("whole", 1, 2, b"")]
    with store.unit() as unit:
        copy_rows(unit.connection, "kept", columns, iter(rows))
    found = store.connection.execute("select * from kept").fetchall()
    assert sorted(found, key=str) == sorted(rows, key=str)


def test_what_an_index_refuses_is_left_out_and_the_rest_keeps_its_order(
    store: Store[Unit],
) -> None:
    with store.unit() as unit:
        first = insert_new(unit.connection, "numbered", ["name"], [("b",), ("a",)], "name")
        second = insert_new(
            unit.connection, "numbered", ["name"], [("d",), ("a",), ("c",), ("d",)], "name"
        )
        assert insert_new(unit.connection, "numbered", ["name"], [], "name") == []
    assert (first, second) == (["b", "a"], ["d", "c"])
    found = store.connection.execute("select name from numbered order by number_no").fetchall()
    assert found == [("b",), ("a",), ("d",), ("c",)]


def test_lists_of_whole_numbers_have_the_width_of_columns_whatever_comes_first(
    store: Store[Unit],
) -> None:
    """A narrow list beside a wide one: the second must not take the width of the first."""
    rows = [(2, "small", 2**40), (1, "smaller", None)]
    with store.unit() as unit:
        columns = ["entry_no", "name", "at_ms"]
        assert insert_new(unit.connection, "wide", columns, rows, "name") == ["small", "smaller"]
    found = store.connection.execute("select * from wide order by entry_no desc").fetchall()
    assert found == rows
