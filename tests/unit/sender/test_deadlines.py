"""How much time a send has to spare."""

from __future__ import annotations

from math import inf

from services.sender.deadlines import slack_seconds

HOUR_MS = 3_600_000


def slack(*waiting: tuple[int, int], margin_ms: int = 0, rate: float = 50.0) -> float:
    return slack_seconds(waiting, now_ms=0, margin_ms=margin_ms, rate=rate)


def test_nothing_that_waits_has_all_the_time_there_is() -> None:
    assert slack() == inf


def test_what_waits_takes_its_share_of_the_time_that_is_left() -> None:
    assert slack((HOUR_MS, 90_000)) == 3_600 - 1_800


def test_the_margin_before_the_deadline_is_not_to_spare() -> None:
    assert slack((HOUR_MS, 0), margin_ms=40_000) == 3_560


def test_below_nought_when_the_rate_is_too_low() -> None:
    assert slack((HOUR_MS, 180_001), rate=50) < 0


def test_what_is_due_first_stands_in_the_way_of_what_is_due_later() -> None:
    # alone the later one has 1,900 s to spare; after the first it has 900
    assert slack((HOUR_MS + 100_000, 90_000), (HOUR_MS, 50_000)) == 900
