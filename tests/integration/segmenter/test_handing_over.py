"""A partition that changes hands while its new owner has not read all of the programme yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.segmenter.handler import Segmenter
from services.segmenter.people.handler import People
from services.segmenter.people.places.areas import Resolver
from services.segmenter.people.places.coordinates import GridReader
from services.segmenter.people.places.directory import Directory
from services.segmenter.sends.frozen_sets import FrozenSets
from services.segmenter.sends.programme import ProgrammeView
from services.segmenter.sends.reports import Reports
from services.segmenter.sends.sends import Sends
from shared.clock import FixedClock
from shared.log.topics import PROGRAMME
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.programme.definitions import Segment
from shared.programme.rules import HasTag
from shared.store.port import Store, Unit
from shared.wire.control import FreezeReported
from shared.wire.programme import SendDecision
from tests.integration.segmenter.town import ASK, NOW, PARTITIONS, SECRET, TOWN, Town

ALL = frozenset(range(PARTITIONS))


class Owner:
    """A segmenter without its loop: it owns all and reads the programme when it is told to."""

    def __init__(self, store: Store[Unit], town: Town) -> None:
        self.store, self.clock = store, FixedClock(datetime.now(UTC))
        self.programme = ProgrammeView()
        self._follower = town.log.follow(PROGRAMME)
        places = Resolver(Directory.open(town.home / "postcodes"), GridReader())
        self.people = People(places, SECRET, PARTITIONS, self.clock)
        sends = Sends(
            store, self.programme, PARTITIONS, 1_000, town.log.end_offsets, FailPoints(""),
            Metrics("segmenter"),
        )  # fmt: skip
        self.handler = Segmenter(
            store, self.people, sends, self.programme, self.clock, 1.0, Metrics("segmenter")
        )

    def read(self) -> None:
        while batch := self._follower.read():
            for stored in batch:
                self.programme.apply(stored)

    def take(self) -> None:
        for partition in ALL:
            self.store.take(partition)
        self.handler.assigned(ALL)

    def tick(self) -> None:
        self.clock.advance(1)
        self.handler.tick(self.clock.now())

    def close(self) -> None:
        self._follower.close()

    def stands(self) -> set[str]:
        found = self.store.connection.execute("select version from live_segment").fetchall()
        return {version for (version,) in found}

    def said(self) -> list[str]:
        """To whom."""
        found = self.store.connection.execute("select topic from outbox").fetchall()
        return [topic for (topic,) in found]


@pytest.fixture
def quiet_town(tmp_path: Path) -> Iterator[Town]:
    """A log, and nobody at work on it."""
    made = Town(tmp_path)
    yield made
    made.stop()


def test_a_decision_that_stands_is_not_made_anew_by_who_has_not_read_it(
    store: Store[Unit], quiet_town: Town
) -> None:
    """The new owner of the send would hold it; the former one has released it."""
    quiet_town.apply(TOWN, ASK)
    quiet_town.order(ASK, approved_count=1_000)
    owner = Owner(store, quiet_town)
    owner.read()
    owner.take()
    with store.unit() as unit:
        for partition in ALL:
            Reports(unit.connection).keep(
                FreezeReported(
                    send_id="ask", occurrence=0, partition=partition, frozen=10, by_variant={},
                    by_edition={}, at=NOW,
                )
            )  # fmt: skip
        decision = SendDecision(send_id="ask", occurrence=0, state="released", decided_at=NOW)
        Reports(unit.connection).note_decision(decision, 0)
    owner.tick()
    assert "programme" not in owner.said()
    with store.unit() as unit:
        unit.connection.execute("delete from report where kind = 'decision'")
    owner.tick()
    assert "programme" in owner.said(), "without it, it would"
    owner.close()


def test_a_part_that_stands_when_its_send_is_cancelled_already_ends_each_person(
    store: Store[Unit], quiet_town: Town
) -> None:
    """The owner of the send may decide before whoever froze the part has read of the order."""
    quiet_town.apply(TOWN, ASK)
    quiet_town.order(ASK, cancelled=True)
    owner = Owner(store, quiet_town)
    owner.read()
    owner.programme.decisions["ask", 0] = SendDecision(
        send_id="ask", occurrence=0, state="cancelled", decided_at=NOW
    )
    owner.take()
    with store.unit() as unit:
        sets = FrozenSets(unit.connection)
        sets.begin("ask", 0, 1, "frozen", 0)
        sets.fill([("ask", 0, "ada", 1, "m", "k", "a", "", "{}", None, None, 0)])
    owner.tick()
    assert sorted(owner.said()) == ["control", "events"]
    states = store.connection.execute("select state, reason from frozen").fetchall()
    assert states == [("cancelled", "the send was cancelled")]
    owner.close()


def test_segments_are_seeded_only_by_who_has_read_at_least_what_the_former_owner_had(
    store: Store[Unit], quiet_town: Town
) -> None:
    old, new, newest = (Segment(name="town", rule=HasTag(tag=tag)) for tag in ("a", "b", "c"))
    quiet_town.apply(old)
    late = Owner(store, quiet_town)
    late.read()
    former = Owner(store, quiet_town)
    quiet_town.apply(new)
    former.read()
    former.take()
    former.handler.programme_read()
    former.tick()
    assert former.stands() == {new.version()}
    late.take()
    late.tick()
    assert late.stands() == {new.version()}, "it knows an older one only"
    late.read()
    late.handler.programme_read()
    late.tick()
    assert late.stands() == {new.version()}
    quiet_town.apply(newest)
    late.read()
    late.handler.programme_read()
    late.tick()
    assert late.stands() == {newest.version()}
    for one in (late, former):
        one.close()
