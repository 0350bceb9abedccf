"""The suppressions topic as a table of the store, read from a real log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.segmenter.people.suppressions import Suppressions, reason_of, reasons_of
from shared.log.embedded.body import EmbeddedLog
from shared.log.record import Record, Stored
from shared.log.table import Table
from shared.log.topics import SUPPRESSIONS
from shared.wire.suppressions import SuppressionReason
from tests.integration.people.world import PARTITIONS, World, lifting, suppression


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log.db", PARTITIONS)
    yield log
    log.close()


def say(
    log: EmbeddedLog, subject: str, reason: SuppressionReason | None, scope: str = "everything"
) -> None:
    """None lifts."""
    stored = lifting(subject, scope) if reason is None else suppression(subject, scope, reason)
    log.append([record_of(stored)])


def record_of(stored: Stored) -> Record:
    return Record(
        stored.topic,
        stored.partition,
        stored.key,
        stored.value,
        stored.headers,
        stored.timestamp_ms,
    )


def follow(log: EmbeddedLog, world: World) -> tuple[Suppressions, Table]:
    """A start: the table is read from the beginning."""
    follower = log.follow(SUPPRESSIONS)
    suppressions = Suppressions(world.store, follower.end_offsets)
    table = Table(follower, suppressions.apply)
    table.refresh()
    return suppressions, table


def held(world: World) -> dict[tuple[str, str], str]:
    rows = world.connection.execute("select subject, scope, reason from suppression")
    return {(str(subject), str(scope)): str(reason) for subject, scope, reason in rows}


def test_the_table_follows_the_topic(world: World, log: EmbeddedLog) -> None:
    say(log, "k1", "unsubscribed")
    say(log, "k1", "unsubscribed", "topic:events")
    say(log, "k2", "hard_bounce")
    _, table = follow(log, world)
    assert held(world) == {
        ("k1", "everything"): "unsubscribed",
        ("k1", "topic:events"): "unsubscribed",
        ("k2", "everything"): "hard_bounce",
    }
    say(log, "k1", None)
    say(log, "k2", "complained")
    table.refresh()
    assert held(world) == {
        ("k1", "topic:events"): "unsubscribed",
        ("k2", "everything"): "complained",
    }
    table.close()


def test_reading_it_all_again_changes_nothing(world: World, log: EmbeddedLog) -> None:
    for number in range(5):
        say(log, f"k{number}", "unsubscribed")
    say(log, "k3", None)
    follow(log, world)[1].close()
    before = held(world)
    suppressions, table = follow(log, world)
    assert held(world) == before
    assert suppressions.caught_up() == 0
    assert held(world) == before
    table.close()


def test_what_the_topic_forgot_while_we_were_away_is_forgotten_once_caught_up(
    world: World, tmp_path: Path, log: EmbeddedLog
) -> None:
    say(log, "lifted-long-ago", "unsubscribed")
    say(log, "stays", "unsubscribed")
    follow(log, world)[1].close()
    compacted = EmbeddedLog(tmp_path / "compacted.db", PARTITIONS)
    say(compacted, "stays", "unsubscribed")
    suppressions, table = follow(compacted, world)
    assert reason_of(world.connection, "lifted-long-ago") == "unsubscribed", "nobody is free early"
    assert suppressions.caught_up() == 1
    assert held(world) == {("stays", "everything"): "unsubscribed"}
    table.close()
    compacted.close()


def test_a_suppression_that_cannot_be_read_suppresses_all_the_same(world: World) -> None:
    broken = Stored(SUPPRESSIONS, 0, 0, b"k1|topic:events", b"{", (), 7)
    bare = Stored(SUPPRESSIONS, 0, 1, b"k2", b"{", (), 7)
    world.suppressions.apply_all([broken, bare])
    assert held(world) == {
        ("k1", "topic:events"): "unsubscribed",
        ("k2", "everything"): "unsubscribed",
    }


def test_of_several_records_of_a_key_the_last_one_counts(world: World) -> None:
    world.suppressions.apply_all(
        [suppression("k", "everything", "unsubscribed"), lifting("k", "everything")]
    )
    assert held(world) == {}
    world.suppressions.apply_all(
        [lifting("k", "everything"), suppression("k", "everything", "erased")]
    )
    assert reasons_of(world.connection, ["k", "unknown"]) == {"k": "erased"}


class Topic:
    """One partition of a compacted topic, as Kafka keeps it: what is superseded stays for a while,
    and so do tombstones.
    """

    def __init__(self) -> None:
        self.records: list[Stored] = []
        self.end = 0

    def say(self, subject: str, *, suppressed: bool) -> None:
        scope = "everything"
        record = (
            suppression(subject, scope, "unsubscribed") if suppressed else lifting(subject, scope)
        )
        self.records.append(replace(record, partition=0, offset=self.end))
        self.end += 1

    def compact(self, *, tombstones: bool) -> None:
        """Keep the newest of each key, and not even that if it is a tombstone."""
        newest = {record.key: record.offset for record in self.records}
        self.records = [
            record
            for record in self.records
            if record.offset == newest[record.key] and not (tombstones and record.value is None)
        ]

    def state(self) -> set[str]:
        last = {subject_of(record): record.value for record in self.records}
        return {subject for subject, value in last.items() if value is not None}


def subject_of(record: Stored) -> str:
    return (record.key or b"").decode().partition("|")[0]


class Reader:
    """An instance at its own pace."""

    def __init__(self, world: World, topic: Topic) -> None:
        self._topic, self._next, self._whole = topic, 0, False
        self.suppressions = Suppressions(world.store, lambda: {0: topic.end})

    def read(self, records: int = 1_000) -> list[Stored]:
        """Apply the next few records."""
        found = [one for one in self._topic.records if one.offset >= self._next][:records]
        self.suppressions.apply_all(found)
        self._next = found[-1].offset + 1 if found else self._topic.end
        return found

    def catch_up(self) -> list[Stored]:
        """Read to the end, and forget what is gone, once."""
        found = self.read()
        if not self._whole:
            self.suppressions.caught_up()
            self._whole = True
        return found

    def behind(self) -> bool:
        return self._next < self._topic.end


KEYS = ("k0", "k1")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(KEYS), st.booleans()),
        st.tuples(st.just("read"), st.integers(0, 1), st.integers(1, 2)),
        st.tuples(st.just("catch up"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("restart"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("compact"), st.just(0), st.booleans()),
    ),
    min_size=8,
    max_size=40,
)


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_readers_at_any_pace_never_free_anybody_and_agree_in_the_end(
    shared_world: World, steps: list[tuple[Any, ...]]
) -> None:
    """Of all that any of them has applied the newest word about a subject counts, if it suppresses;
    a lift may be forgotten for a while, by who reads from the beginning. Nobody is so slow that a
    tombstone goes before they have read it (Kafka keeps those for a day).
    """
    world, topic = shared_world, Topic()
    world.clear()
    readers = [Reader(world, topic) for _ in range(2)]
    applied: dict[str, Stored] = {}
    for word, which, how in steps:
        read: list[Stored] = []
        match word:
            case "say":
                topic.say(which, suppressed=how)
            case "read":
                read = readers[which].read(how)
            case "catch up":
                read = readers[which].catch_up()
            case "compact":
                topic.compact(tombstones=how and not any(one.behind() for one in readers))
            case _:
                readers[which] = Reader(world, topic)
        for record in read:
            known = applied.get(subject_of(record))
            if known is None or record.offset >= known.offset:
                applied[subject_of(record)] = record
        suppressed = {subject for subject, _ in held(world)}
        assert suppressed >= {key for key, record in applied.items() if record.value is not None}
    for reader in readers:
        reader.catch_up()
    assert {subject for subject, _ in held(world)} == topic.state()


def test_what_one_reader_brought_meanwhile_is_not_forgotten_by_another(world: World) -> None:
    topic = Topic()
    topic.say("old", suppressed=True)
    first = Reader(world, topic)
    first.catch_up()
    second = Reader(world, topic)
    second.read()
    topic.say("new", suppressed=True)
    first.read()
    second.suppressions.caught_up()
    assert {subject for subject, _ in held(world)} == {"old", "new"}


def test_a_store_that_is_moved_to_another_log_believes_the_new_one(
    world: World, tmp_path: Path, log: EmbeddedLog
) -> None:
    """There the offsets begin anew."""
    for _ in range(20):
        say(log, "came-back", "unsubscribed")
        say(log, "gone", "unsubscribed")
    follow(log, world)[1].close()
    other = EmbeddedLog(tmp_path / "other.db", PARTITIONS)
    say(other, "came-back", "unsubscribed")
    say(other, "came-back", None)
    suppressions, table = follow(other, world)
    suppressions.caught_up()
    assert held(world) == {}
    table.close()
    other.close()


def test_a_key_with_a_nul_stops_nobody(world: World) -> None:
    odd = Stored(SUPPRESSIONS, 0, 0, b"k\x00|everything", b"{", (), 7)
    world.suppressions.apply_all([odd, suppression("k", "everything", "unsubscribed")])
    assert reason_of(world.connection, "k") == "unsubscribed"


def test_two_keys_that_mean_the_same_are_one_row(world: World) -> None:
    bare = Stored(SUPPRESSIONS, 0, 3, b"k", b"{", (), 7)
    world.suppressions.apply_all([bare, suppression("k", "everything", "unsubscribed")])
    assert held(world) == {("k", "everything"): "unsubscribed"}
