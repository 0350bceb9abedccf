"""The heart of the port: outputs and positions together, or not at all."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.structs import TopicPartition as KafkaPartition

from shared.errors import Fenced, Misconfigured, PositionOutsideLog
from shared.log.port import Log, Membership
from shared.log.record import Position, TopicPartition
from tests.contract.log.conftest import BODIES, PARTITIONS, SHORT_MS, kafka_settings
from tests.contract.log.narration import (
    poll_records,
    positions_after,
    read_all,
    record,
    settle,
    texts,
    until,
)


def test_what_is_appended_is_read_in_order_with_key_headers_and_time(log: Log) -> None:
    from shared.log.record import Record

    log.append([Record("in", 2, b"k", b"one", (("h", b"\x00\xff"),), 123), record("two", 2)])
    follower = log.follow("in")
    one, two = read_all(follower)
    assert (one.offset, two.offset) == (0, 1)
    assert (one.key, one.value, one.headers) == (b"k", b"one", (("h", b"\x00\xff"),))
    assert abs(one.timestamp_ms - now_ms()) < 600_000, "that of appending, whatever it speaks of"
    follower.close()


def test_an_append_is_all_or_nothing(log: Log) -> None:
    with pytest.raises(ValueError, match="there is no 99"):
        log.append([record("good"), record("bad", 99)])
    assert log.end_offsets("in")[0] == 0


def test_an_unknown_topic_is_refused_by_name(log: Log) -> None:
    with pytest.raises(Misconfigured, match="no topic called 'nowhere'"):
        log.append([record("x", topic="nowhere")])


def test_outputs_and_positions_appear_together(log: Log) -> None:
    log.append([record("a")])
    member = log.join("g", ["in"])
    settle([member], PARTITIONS)
    polled = poll_records(member)
    member.commit(polled.membership, [record("made", topic="out")], positions_after(polled, "m:1"))
    follower = log.follow("out")
    assert texts(read_all(follower)) == ["made"]
    saved = member.committed([TopicPartition("in", 0)])
    assert saved == {TopicPartition("in", 0): Position(1, "m:1")}
    follower.close()
    member.close()


def test_without_a_commit_the_next_member_reads_again(log: Log) -> None:
    log.append([record("a")])
    first = log.join("g", ["in"])
    settle([first], PARTITIONS)
    assert texts(next(iter(poll_records(first).records.values()))) == ["a"]
    first.close()
    second = log.join("g", ["in"])
    settle([second], PARTITIONS)
    assert texts(next(iter(poll_records(second).records.values()))) == ["a"]
    second.close()


def test_after_a_commit_the_next_member_reads_on(log: Log) -> None:
    log.append([record("a")])
    first = log.join("g", ["in"])
    settle([first], PARTITIONS)
    polled = poll_records(first)
    first.commit(polled.membership, [], positions_after(polled))
    first.close()
    log.append([record("b")])
    second = log.join("g", ["in"])
    settle([second], PARTITIONS)
    assert texts(next(iter(poll_records(second).records.values()))) == ["b"]
    second.close()


def test_a_commit_for_a_number_of_another_member_is_fenced_and_writes_nothing(log: Log) -> None:
    member = log.join("g", ["in"])
    settle([member], PARTITIONS)
    stranger = Membership("somebody", 99)
    with pytest.raises(Fenced):
        member.commit(stranger, [record("x", topic="out")], {TopicPartition("in", 0): Position(5)})
    assert log.end_offsets("out")[0] == 0
    assert member.committed([TopicPartition("in", 0)]) == {}
    member.close()


def test_rewind_reads_again_from_the_saved_position(log: Log) -> None:
    log.append([record("a"), record("b")])
    member = log.join("g", ["in"])
    settle([member], PARTITIONS)
    assert texts(next(iter(poll_records(member).records.values()))) == ["a", "b"]
    member.rewind([TopicPartition("in", 0)])
    assert texts(next(iter(poll_records(member).records.values()))) == ["a", "b"]
    member.seek(TopicPartition("in", 0), 1)
    assert texts(next(iter(poll_records(member).records.values()))) == ["b"]
    assert member.next_offset(TopicPartition("in", 0)) >= 2
    member.close()


def test_a_paused_number_brings_nothing_until_resumed(log: Log) -> None:
    log.append([record("a", 0), record("b", 1)])
    member = log.join("g", ["in"])
    settle([member], PARTITIONS)
    member.pause(frozenset({0}))
    polled = poll_records(member)
    assert {place.partition for place in polled.records} == {1}
    assert not member.poll(0.1, 10).records
    member.resume(frozenset({0}))
    assert {place.partition for place in poll_records(member).records} == {0}
    member.close()


def test_a_batch_is_never_larger_than_asked_and_no_number_is_starved(log: Log) -> None:
    log.append([record(f"{n}", n % PARTITIONS) for n in range(60)])
    member = log.join("g", ["in"])
    settle([member], PARTITIONS)
    seen: set[int] = set()
    for _ in range(20):
        polled = poll_records(member, most=5)
        assert sum(len(batch) for batch in polled.records.values()) <= 5
        seen |= {place.partition for place in polled.records}
        member.commit(polled.membership, [], positions_after(polled))
        if len(seen) == PARTITIONS:
            break
    assert seen == set(range(PARTITIONS))
    member.close()


def test_a_position_outside_the_log_stops_and_says_so(log: Log) -> None:
    log.append([record("a")])
    member = log.join("g", ["in"])
    settle([member], PARTITIONS)
    member.seek(TopicPartition("in", 0), 77)
    with pytest.raises(PositionOutsideLog, match="77"):
        member.poll(0.2, 10)
    member.close()


def test_no_position_at_all_means_from_the_beginning(log: Log) -> None:
    log.append([record("early")])
    member = log.join("fresh", ["in"])
    settle([member], PARTITIONS)
    assert texts(next(iter(poll_records(member).records.values()))) == ["early"]
    member.close()


def test_lag_is_what_was_not_read_of_owned_numbers(log: Log) -> None:
    log.append([record("a"), record("b"), record("c", 1)])
    member = log.join("g", ["in", "more"])
    settle([member], PARTITIONS)
    before = member.lag()
    assert before["in"] >= 3
    assert before["more"] == 0
    seen = 0
    while seen < 3:
        polled = poll_records(member)
        seen += sum(len(batch) for batch in polled.records.values())
        assert member.lag()["in"] <= before["in"] - seen
    until(lambda: not member.poll(0.05, 10).records and member.lag() == {"in": 0, "more": 0}, "0")
    member.close()


def test_saved_positions_reach_the_end_of_the_log(log: Log) -> None:
    """Past the markers of transactions too: a barrier waits for what was on the log, and retention
    must never find a position before the first record kept.
    """
    log.append([record("a"), record("b", 1)])
    member = log.join("g", ["in"])
    settle([member], PARTITIONS)
    ends, reached = log.end_offsets("in"), dict.fromkeys(range(PARTITIONS), 0)

    def at_the_end() -> bool:
        polled = member.poll(0.05, 10)
        moved = {p: records[-1].offset + 1 for p, records in polled.records.items()}
        moved |= polled.passed
        positions = {place: Position(next_offset) for place, next_offset in moved.items()}
        if positions:
            member.commit(polled.membership, [], positions)
        reached.update({place.partition: at for place, at in moved.items()})
        return reached == ends

    until(at_the_end, "the positions to reach the end")
    member.close()


def test_groups_do_not_disturb_each_other(log: Log) -> None:
    log.append([record("a")])
    one, two = log.join("one", ["in"]), log.join("two", ["in"])
    for member in (one, two):
        settle([member], PARTITIONS)
        polled = poll_records(member)
        member.commit(polled.membership, [], positions_after(polled))
    one.close()
    two.close()


def test_retention_removes_old_records_and_a_late_group_is_told(
    log: Log, body: str, tmp_path: Path
) -> None:
    log.append([record("old", topic="short")])
    member = log.join("slow", ["short"])
    settle([member], PARTITIONS)
    poll_records(member)
    member.seek(TopicPartition("short", 0), 0)
    remove_old_records(log, body, tmp_path)

    def is_told() -> bool:
        try:
            return bool(member.poll(0.2, 10).records) and False
        except PositionOutsideLog:
            return True

    until(is_told, "the late group to be told")
    fresh = log.join("fresh", ["short"])
    settle([fresh], PARTITIONS)
    assert not fresh.poll(0.1, 10).records
    member.close()
    fresh.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def remove_old_records(log: Log, body: str, folder: Path) -> None:
    """As retention would: by our own janitor, or by the brokers."""
    if body == "embedded":
        assert log.maintain(now_ms=now_ms() + 2 * SHORT_MS) == 1
        return
    bootstrap, settings = kafka_settings(folder)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.delete_records(
        {KafkaPartition(f"{settings.prefix}short", 0): log.end_offsets("short")[0]}
    )
    admin.close()


def test_retention_keeps_what_is_young_and_what_has_no_retention(log: Log, body: str) -> None:
    if body != "embedded":
        pytest.skip("the brokers' own work")
    log.append([record("kept")])
    from shared.log.record import Record

    log.append([Record("short", 0, b"k", b"dated long ago", (), 9_500)])
    assert log.maintain(now_ms=now_ms() + SHORT_MS // 2) == 0
    assert log.maintain(now_ms=now_ms() + 2 * SHORT_MS) == 1


def test_what_a_group_has_yet_to_read_outlasts_retention(log: Log, body: str) -> None:
    if body != "embedded":
        pytest.skip("brokers remove it, whoever has read it")
    log.append([record(text, topic="short") for text in ("read", "unread")])
    member = log.join("slow", ["short"])
    settle([member], PARTITIONS)
    polled = poll_records(member)
    member.commit(polled.membership, [], {TopicPartition("short", 0): Position(1)})
    member.close()

    assert log.maintain(now_ms=now_ms() + 2 * SHORT_MS) == 1
    assert log.first_offsets("short")[0] == 1


def test_partitions_are_never_altered_in_place(body: str, tmp_path: Path) -> None:
    BODIES[body](tmp_path).close()
    if body != "embedded":
        pytest.skip("a cluster's topics are checked by `topics plan`")
    from shared.log.embedded.body import EmbeddedLog

    with pytest.raises(Misconfigured, match="never altered in place"):
        EmbeddedLog(tmp_path / "log.db", PARTITIONS + 1)


def test_a_publisher_keeps_its_cursor_in_the_log_and_fences_an_older_one(log: Log) -> None:
    old = log.publisher("spool")
    assert old.cursor() == ""
    old.commit([record("a", topic="out")], "s:1")
    new = log.publisher("spool")
    assert new.cursor() == "s:1"
    with pytest.raises(Fenced):
        old.commit([record("late", topic="out")], "s:2")
    new.commit([record("b", topic="out")], "s:2")
    follower = log.follow("out")
    assert texts(read_all(follower)) == ["a", "b"]
    for closing in (old, new, follower):
        closing.close()
