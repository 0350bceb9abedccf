"""The suppressions topic as a table of the store, read from a real log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
