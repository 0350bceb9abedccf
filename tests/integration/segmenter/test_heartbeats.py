"""Heartbeats come by themselves, a few times a day, and are nothing to any reader."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.console.programme_topic import ProgrammeTable, definition_records
from services.renderer.book import Book
from services.segmenter.heartbeats import EVERY_MS, Heartbeats, heartbeats
from services.segmenter.people.suppressions import Suppressions, reason_of
from services.segmenter.people.withdrawals import suppression_record
from services.segmenter.sends.programme import ProgrammeView
from services.sender.tables import SenderTables
from services.tracker.programme import Programme
from shared.clock import FixedClock, from_ms, to_ms
from shared.log.embedded.body import EmbeddedLog
from shared.log.kafka.topics import wanted_configs
from shared.log.topics import PROGRAMME, SUPPRESSIONS, TOPICS
from shared.programme.versions import to_wire
from shared.store.port import Store, Unit
from shared.wire.suppressions import Suppression
from tests.contract.log.narration import read_all
from tests.integration.segmenter.test_handing_over import Owner
from tests.integration.segmenter.town import ASK, NOW, PARTITIONS, TOWN, Town

ALL = frozenset(range(PARTITIONS))
MORNING = from_ms(to_ms(datetime(2026, 5, 4, 9, tzinfo=UTC)) // EVERY_MS * EVERY_MS + 60_000)


def pending(store: Store[Unit]) -> list[tuple[str, int, bytes | None]]:
    rows = [row for number in ALL for row in store.pending(number, 0, 100)]
    return [(row.record.topic, row.record.partition, row.record.value) for row in rows]


def test_each_owned_number_beats_once_in_a_turn_and_a_start_is_no_cause(
    store: Store[Unit],
) -> None:
    clock = FixedClock(MORNING)
    for number in (0, 2):
        store.take(number)
    hearts = Heartbeats(store)
    for _ in range(3):
        hearts.beat(clock.now())
    assert pending(store) == []

    for _ in range(2):
        clock.advance(EVERY_MS / 1000)
        for _ in range(3):
            hearts.beat(clock.now())
    assert Counter(pending(store)) == {
        (PROGRAMME, 0, None): 2, (SUPPRESSIONS, 0, None): 2, (SUPPRESSIONS, 2, None): 2,
    }  # fmt: skip

    store.take(3)
    hearts.beat(clock.now())
    Heartbeats(store).beat(clock.now())
    assert len(pending(store)) == 6


def test_the_segmenter_beats(store: Store[Unit], tmp_path: Path) -> None:
    town = Town(tmp_path)
    owner = Owner(store, town)
    owner.take()
    owner.tick()
    assert owner.said() == []
    owner.clock.advance(EVERY_MS / 1000)
    owner.tick()
    assert Counter(owner.said()) == {PROGRAMME: 1, SUPPRESSIONS: PARTITIONS}
    owner.close()
    town.stop()


def test_a_heartbeat_begins_another_segment() -> None:
    for spec in TOPICS:
        if spec.compacted:
            assert int(wanted_configs(spec, 1)["segment.ms"]) < EVERY_MS


@pytest.fixture
def full(tmp_path: Path) -> EmbeddedLog:
    """A log with a programme and one person who left."""
    town = Town(tmp_path)
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.halt(halted=True)
    left = Suppression(subject="someone", scope="everything", reason="unsubscribed", at=NOW)
    town.log.append([suppression_record(left, PARTITIONS)])
    town.log.append(definition_records(to_wire(TOWN, NOW, "test")))
    return town.log


def test_every_reader_of_a_compacted_topic_is_left_as_it_was(
    full: EmbeddedLog, store: Store[Unit]
) -> None:
    """Whoever begins to read one belongs into this test."""
    book, view, table, tracker = Book(), ProgrammeView(), ProgrammeTable(), Programme()
    sender, people = SenderTables(full), Suppressions(store, lambda: full.end_offsets(SUPPRESSIONS))

    def read() -> list[object]:
        programme = full.follow(PROGRAMME)
        for stored in read_all(programme):
            for each in (book, view, table, tracker):
                each.apply(stored)
        programme.close()
        withdrawn = full.follow(SUPPRESSIONS)
        people.apply_all(read_all(withdrawn))
        withdrawn.close()
        sender.refresh()
        return [
            dict(book._newest), dict(book._bodies), dict(view.orders), dict(view._definitions),
            view.halted, list(view.unreadable), dict(table.newest), dict(table.orders), table.halt,
            list(table.unreadable), sorted(tracker._versions.definitions),
            {subject: dict(found) for subject, found in sender.suppressions.items()},
            sender.orders, list(people.unreadable), reason_of(store.connection, "someone"),
            store.connection.execute("select count(*) from suppression").fetchall(),
        ]  # fmt: skip

    before = read()
    full.append(heartbeats(sorted(ALL), NOW))
    assert read() == before
    assert "unsubscribed" in before
    sender.close()
