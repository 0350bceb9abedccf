"""Breakers: what holds a send, and what is chance."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sender.breakers import FailuresInARow, Fates, Rules, newest, trip

RULES = Rules(window=10_000, least=200, bounces=0.05, complaints=0.001, failures=3)

counts = st.integers(0, 400)


@pytest.mark.parametrize(
    ("fates", "why"),
    [
        (Fates(1_000, 50), None),
        (Fates(1_000, 51), "bounces"),
        (Fates(199, 199), None),
        (Fates(200, 11), "bounces"),
        (Fates(10_000, 0, 10), None),
        (Fates(10_000, 0, 11), "complaints"),
        (Fates(1_000, 0, 4), None),
        (Fates(1_000, 0, 5), "complaints"),
        (Fates(100, 0, 100), None),
    ],
)
def test_more_than_the_limit_of_enough_fates_holds_a_send(fates: Fates, why: str | None) -> None:
    tripped = trip(fates, RULES)
    assert (tripped.why if tripped else None) == why


def test_the_reason_says_how_many_of_how_many_and_the_limit() -> None:
    tripped = trip(Fates(1_000, 60), RULES)
    assert tripped is not None
    assert tripped.reason == (
        "60 of the last 1,000 mails bounced (6.00%; more than 5.00% holds a send)"
    )


def test_a_limit_of_nought_is_none() -> None:
    off = replace(RULES, bounces=0.0, complaints=0.0, failures=0)
    assert trip(Fates(1_000, 1_000, 1_000), off) is None
    failures = FailuresInARow(off.failures)
    failures.note("spring", "failed")
    assert failures.trip("spring", "bad") is None


@settings(deadline=None)
@given(st.lists(st.builds(Fates, counts, counts, counts), max_size=30), st.integers(1, 2_000))
def test_the_newest_slots_are_taken_until_the_window_is_full(
    slots: list[Fates], window: int
) -> None:
    found = newest(slots, window)
    used = next(
        n for n in range(len(slots) + 1)
        if n == len(slots) or (n and sum(s.told for s in slots[:n]) >= window)
    )  # fmt: skip
    assert found.told == sum(s.told for s in slots[:used])
    assert found.bounced == sum(s.bounced for s in slots[:used])
    assert found.complained == sum(s.complained for s in slots[:used])


def test_refusals_in_a_row_are_counted_by_send_and_an_acceptance_ends_the_row() -> None:
    failures = FailuresInARow(3)
    for _ in range(2):
        failures.note("spring", "failed")
        failures.note("autumn", "accepted")
        failures.note("spring", "throttled")
    assert failures.trip("spring", "bad") is None
    failures.note("spring", "failed")
    tripped = failures.trip("spring", "MessageRejected")
    assert tripped is not None
    assert tripped.reason == ("SES refused 3 mails in a row, the last with: MessageRejected")
    assert failures.trip("autumn", "bad") is None
    failures.note("spring", "accepted")
    assert failures.trip("spring", "bad") is None
