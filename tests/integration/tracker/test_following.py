"""Following the programme over restarts: what was kept is gone by until the topic was read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.tracker.following import Following
from services.tracker.keeping import KeptProgramme
from services.tracker.programme import Programme
from shared.clock import FixedClock
from shared.errors import PositionOutsideLog, RetryLater
from shared.log.embedded.body import EmbeddedLog
from shared.log.port import Follower, Log
from shared.log.record import Record, Stored
from shared.log.topics import PROGRAMME
from shared.observability.metrics import Metrics
from tests.integration.tracker.running import eventually
from tests.unit.tracker.building import (
    MAILING,
    NOW,
    PARTITIONS,
    TEMPLATE,
    bearer,
    definition_records,
    programme_records,
)

VOLUNTEER = "https://hilltop.example/volunteer?from=mail#form"
MENDED = "https://hilltop.example/mended"
MENDING = definition_records(
    "template", TEMPLATE.model_copy(update={"html": f'<a href="{MENDED}">Help</a>'})
)


class Life:
    """One life of a follower of the programme, over a home that outlasts it."""

    def __init__(self, home: Path, log: Log | None, clock: FixedClock) -> None:
        self.log, self.programme = log, Programme()
        kept = KeptProgramme(home / "programme.db", "embedded")
        self.following = Following(
            lambda _: self.log, self.programme, kept, clock, Metrics("tracker")
        )

    def begin(self) -> Life:
        self.following.start()
        return self

    def until_read(self) -> Life:
        assert self.following.wait_current(0.0, 30)
        return self

    def end(self) -> None:
        self.following.stop()

    def link(self) -> str | None:
        return self.programme.destination(bearer(), 0)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    opened = EmbeddedLog(tmp_path / "log.db", PARTITIONS)
    opened.append(programme_records())
    yield opened
    opened.close()


def test_without_a_log_and_without_anything_kept_nothing_is_known(
    tmp_path: Path, clock: FixedClock
) -> None:
    life = Life(tmp_path, None, clock).begin()
    assert not life.following.ready()
    assert life.following.word() == ""
    assert life.following.age_seconds() == float("inf")
    life.end()


def test_what_was_read_in_one_life_is_gone_by_in_the_next_until_it_can_be_read_again(
    tmp_path: Path, log: EmbeddedLog, clock: FixedClock
) -> None:
    Life(tmp_path, log, clock).begin().until_read().end()
    clock.advance(600)

    life = Life(tmp_path, None, clock).begin()
    assert life.link() == VOLUNTEER
    assert life.following.ready()
    assert not life.following.read()
    assert life.following.age_seconds() == 600
    assert "10 min ago" in life.following.word()
    assert not life.following.wait_current(0.0, 0.0)

    log.append(MENDING)
    life.log = log
    life.until_read()
    assert life.link() == MENDED
    assert life.following.word() == ""
    life.end()


def test_changes_and_tombstones_are_kept_as_they_come(
    tmp_path: Path, log: EmbeddedLog, clock: FixedClock
) -> None:
    life = Life(tmp_path, log, clock).begin().until_read()
    gone = [
        Record(PROGRAMME, 0, record.key, None) for record in definition_records("send", MAILING)
    ]
    log.append([*MENDING, *gone])
    eventually(lambda: life.link() is None, "the tombstones are read")
    life.end()

    after = Life(tmp_path, None, clock)
    assert after.link() is None
    log.append(definition_records("send", MAILING))
    after.log = log
    after.begin().until_read()
    assert after.link() == MENDED
    after.end()


def test_what_is_not_on_the_topic_any_more_goes(
    tmp_path: Path, log: EmbeddedLog, clock: FixedClock
) -> None:
    """As when a tombstone was compacted away, or the topic made anew, while nobody followed."""
    Life(tmp_path, log, clock).begin().until_read().end()
    other = EmbeddedLog(tmp_path / "other.db", PARTITIONS)
    other.append(MENDING)
    Life(tmp_path, other, clock).begin().until_read().end()
    other.close()
    after = Life(tmp_path, None, clock)
    assert after.link() is None
    assert after.following.ready()
    after.end()


class Topic:
    """A log whose programme is told record by record, with trouble in between."""

    def __init__(self, *told: Record | Exception, ends: int) -> None:
        self._told, self._ends, self._next = list(told), ends, 0
        self.opened = 0

    def follow(self, topic: str, *, from_end: bool = False) -> Follower:
        assert (topic, from_end) == (PROGRAMME, False)
        self.opened += 1
        self._next = 0
        return self

    def read(self, timeout_seconds: float = 0.0, max_records: int = 5_000) -> list[Stored]:
        del timeout_seconds, max_records
        told = self._told.pop(0)
        if isinstance(told, Exception):
            raise told
        self._next += 1
        offset = self._next - 1
        return [Stored(PROGRAMME, 0, offset, told.key, told.value, told.headers, 0)]

    def next_offsets(self) -> dict[int, int]:
        return {0: self._next}

    def end_offsets(self) -> dict[int, int]:
        return {0: self._ends}

    def close(self) -> None: ...


def test_nobody_is_led_by_an_old_address_while_the_topic_is_read_again(
    tmp_path: Path, log: EmbeddedLog, clock: FixedClock
) -> None:
    """What changed since a record was written stands later on the topic."""
    log.append(MENDING)
    Life(tmp_path, log, clock).begin().until_read().end()
    old, away = programme_records(), RetryLater("the brokers are away again")
    told = [*old, *MENDING]
    life = Life(tmp_path, None, clock)
    seen: list[str | None] = []
    topic = Topic(*old, away, *MENDING, ends=len(told))
    refresh = topic.end_offsets

    def end_offsets() -> dict[int, int]:
        seen.append(life.link())
        return refresh()

    topic.end_offsets = end_offsets  # type: ignore[method-assign]
    life.log = topic  # type: ignore[assignment]
    life.begin().until_read()
    assert life.link() == MENDED
    assert seen[:2] == [MENDED, MENDED], "before, and after half of it was read"
    life.end()


def test_a_topic_that_was_made_anew_under_way_is_read_from_its_start(
    tmp_path: Path, clock: FixedClock
) -> None:
    first = programme_records()
    topic = Topic(*first, PositionOutsideLog("no such offset"), *first, *MENDING, ends=len(first))
    life = Life(tmp_path, topic, clock).begin().until_read()  # type: ignore[arg-type]
    assert (life.link(), topic.opened) == (VOLUNTEER, 1)
    topic._ends = len(first) + len(MENDING)
    eventually(lambda: life.link() == MENDED, "it was read anew")
    assert topic.opened == 2
    assert life.following.read()
    life.end()
