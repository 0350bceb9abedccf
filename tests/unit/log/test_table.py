"""A table whose brokers go away in the middle of being read. What tables are: see the contract."""

from __future__ import annotations

import pytest

from shared.errors import RetryLater
from shared.log import table
from shared.log.record import Stored
from shared.log.table import STALLED_SECONDS, Table


def stored(offset: int) -> Stored:
    return Stored("table", 0, offset, b"k", b"v", (), 0)


class Stalling:
    """A follower whose brokers bring records up to an offset, then nothing; reading takes time."""

    def __init__(self, end: int, brought: int) -> None:
        self.end, self.brought = end, brought
        self.seconds = 0.0
        self._next = 0

    def read(self, timeout_seconds: float = 0.0, max_records: int = 5_000) -> list[Stored]:
        del timeout_seconds, max_records
        self.seconds += 1.0
        if self._next >= self.brought:
            return []
        self._next += 1
        return [stored(self._next - 1)]

    def next_offsets(self) -> dict[int, int]:
        return {0: self._next}

    def end_offsets(self) -> dict[int, int]:
        return {0: self.end}

    def close(self) -> None: ...


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Stalling:
    """Their end is at 100; they bring 40 and are gone."""
    found = Stalling(end=100, brought=40)
    monkeypatch.setattr(table, "boot_seconds", lambda: found.seconds)
    return found


def test_reading_that_stands_still_ends_and_says_where(brokers: Stalling) -> None:
    read = Table(brokers, lambda _: None)
    with pytest.raises(RetryLater, match="offset 40 of 100 in partition 0"):
        read.refresh()
    assert brokers.seconds == pytest.approx(40 + STALLED_SECONDS, abs=2)
    assert read.age_seconds == float("inf")


def test_reading_goes_on_where_it_stood_and_no_change_goes_untold(brokers: Stalling) -> None:
    applied: list[int] = []
    read = Table(brokers, lambda one: applied.append(one.offset))
    with pytest.raises(RetryLater):
        read.refresh()
    brokers.brought = 100
    assert read.refresh() == 100
    assert applied == list(range(100))
    assert read.refresh() == 0


def test_slow_reading_that_gets_on_is_let_go_on(brokers: Stalling) -> None:
    brokers.end = brokers.brought = int(3 * STALLED_SECONDS)
    assert Table(brokers, lambda _: None).refresh() == brokers.end
