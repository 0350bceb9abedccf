"""Compacted topics as tables: the newest of each key, read to the high watermark, then followed."""

from __future__ import annotations

from shared.log.port import Log
from shared.log.record import Record, Stored
from shared.log.table import Table
from tests.contract.log.narration import read_all, record, texts


def entry(key: str, text: str | None) -> Record:
    return Record("table", 0, key.encode(), None if text is None else text.encode())


def test_a_fresh_reader_sees_the_newest_of_each_key(log: Log) -> None:
    log.append([entry("a", "1"), entry("b", "1"), entry("a", "2")])
    follower = log.follow("table")
    newest = {stored.key: stored.value for stored in read_all(follower)}
    assert newest == {b"a": b"2", b"b": b"1"}
    follower.close()


def test_a_table_reads_to_the_watermark_and_follows_changes_and_tombstones(log: Log) -> None:
    rows: dict[bytes, bytes] = {}

    def apply(stored: Stored) -> None:
        assert stored.key is not None
        if stored.value is None:
            rows.pop(stored.key, None)
        else:
            rows[stored.key] = stored.value

    log.append([entry(f"k{n}", "1") for n in range(50)])
    table = Table(log.follow("table"), apply)
    assert table.age_seconds == float("inf")
    assert table.refresh() == 50
    assert table.age_seconds < 5
    log.append([entry("k0", "2"), entry("k1", None)])
    assert table.refresh() == 2
    assert rows[b"k0"] == b"2"
    assert b"k1" not in rows
    assert len(rows) == 49
    table.close()


def test_a_tail_begins_at_the_end(log: Log) -> None:
    log.append([record("before")])
    tail = log.follow("in", from_end=True)
    log.append([record("after")])
    assert texts(tail.read(timeout_seconds=5)) == ["after"]
    tail.close()
