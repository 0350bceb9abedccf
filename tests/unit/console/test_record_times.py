"""The ages of records that are copied: those that are sent together may be removed together."""

from __future__ import annotations

from services.console.record_times import Ages
from shared.log.record import Stored
from shared.log.topics import DAY_MS, EVENTS, SUPPORTERS

NOW_MS = 1_800_000_000_000


def stored(days_old: float, partition: int = 0) -> Stored:
    return Stored("any", partition, 0, None, b"", (), int(NOW_MS - days_old * DAY_MS))


def test_records_of_a_week_are_sent_day_by_day() -> None:
    ages = Ages(SUPPORTERS, NOW_MS)
    days = (6.5, 6, 5.6, 5.4, 1, 0.5, 0)
    assert [ages.apart(stored(each)) for each in days] == [
        False, False, False, True, True, False, False,
    ]  # fmt: skip


def test_each_partition_has_its_own_time() -> None:
    ages = Ages(SUPPORTERS, NOW_MS)
    assert not any(ages.apart(stored(age, n)) for n, age in enumerate((6, 3, 0)))


def test_what_is_kept_for_ever_is_sent_as_it_comes() -> None:
    ages = Ages(EVENTS, NOW_MS)
    assert not any(ages.apart(stored(days)) for days in (900, 3, 0))


def test_a_time_to_come_is_now() -> None:
    assert Ages(EVENTS, NOW_MS).time_of(stored(-2)) == NOW_MS
