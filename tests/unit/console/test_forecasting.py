"""The forecast: nobody is counted twice or lost, nothing goes faster than it may, remedies help."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.console.forecasting import Capacity, Queued, forecast, in_order, remedies

NOW = datetime(2026, 5, 7, 19, 40, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def queued(name: str, people: int, **more: object) -> Queued:
    fields: dict[str, object] = {"name": name, "people": people, "due": NOW}
    return Queued(**(fields | more))  # type: ignore[arg-type]


sends = st.lists(
    st.builds(
        Queued,
        name=st.uuids().map(str),
        people=st.integers(0, 5_000),
        due=st.integers(0, 3_000).map(lambda m: NOW + m * MINUTE),
        last=st.one_of(st.none(), st.integers(-60, 6_000).map(lambda m: NOW + m * MINUTE)),
        priority=st.sampled_from(["urgent", "normal", "low"]),
    ),
    max_size=5,
    unique_by=lambda one: one.name,
)
capacities = st.builds(
    Capacity,
    rate=st.floats(0.1, 200),
    quota_left=st.one_of(st.just(inf), st.integers(0, 5_000).map(float)),
    daily_quota=st.one_of(st.just(inf), st.integers(100, 5_000).map(float)),
    days=st.dictionaries(
        st.integers(0, 5).map(lambda n: date(2026, 5, 7) + timedelta(days=n)),
        st.integers(0, 2_000),
        max_size=4,
    ),
    sent_today=st.integers(0, 100),
)


@settings(deadline=None)
@given(sends, capacities)
def test_everybody_is_mailed_late_or_beyond_sight_and_nothing_goes_too_fast(
    queue: list[Queued], capacity: Capacity
) -> None:
    found = forecast(queue, capacity, NOW)
    assert [f.name for f in found] == [q.name for q in in_order(queue)]
    for one, said in zip(in_order(queue), found, strict=True):
        assert 0 <= said.late <= one.people
        assert said.begins is None or said.begins >= one.due
        if said.ends is not None:
            assert said.late == 0
            assert said.begins is not None
            assert one.last is None or said.ends <= one.last
            seconds = (said.ends - said.begins).total_seconds()
            assert one.people <= capacity.rate * seconds + 1


def test_sends_share_the_rate_in_the_order_of_the_sender() -> None:
    queue = [
        queued("low", 600, priority="low"),
        queued("soon", 600, last=NOW + 60 * MINUTE),
        queued("urgent", 600, priority="urgent", due=NOW + 5 * MINUTE),
    ]
    urgent, soon, low = forecast(queue, Capacity(rate=1), NOW)
    assert (urgent.begins, urgent.ends) == (NOW + 5 * MINUTE, NOW + 15 * MINUTE)
    assert (soon.begins, soon.ends) == (NOW, NOW + 20 * MINUTE), "the urgent one goes first"
    assert (low.begins, low.ends) == (NOW + 20 * MINUTE, NOW + 30 * MINUTE)


def test_who_does_not_fit_before_the_deadline_is_late() -> None:
    [said] = forecast([queued("ask", 4_100, last=NOW + MINUTE)], Capacity(rate=50), NOW)
    assert (said.late, said.ends, said.holds) == (1_100, None, False)


def test_a_quota_spreads_a_send_over_days() -> None:
    capacity = Capacity(rate=100, quota_left=2_000, daily_quota=10_000)
    [said] = forecast([queued("big", 25_000)], capacity, NOW)
    assert said.ends is not None
    assert timedelta(days=3) < said.ends - NOW < timedelta(days=3, minutes=2)


def test_a_warm_up_spreads_a_send_over_its_days() -> None:
    days = {date(2026, 5, 7): 500, date(2026, 5, 8): 1_000}
    capacity = Capacity(rate=100, days=days, sent_today=200)
    [said] = forecast([queued("big", 2_300)], capacity, NOW)
    assert said.ends == datetime(2026, 5, 9, 0, 0, 10, tzinfo=UTC)


def test_no_quota_at_all_has_no_end() -> None:
    [said] = forecast([queued("ask", 10)], Capacity(1, quota_left=0, daily_quota=0), NOW)
    assert (said.begins, said.ends, said.holds) == (None, None, False)


@settings(deadline=None)
@given(st.integers(100, 20_000), st.floats(1, 50), st.floats(0.2, 0.9))
def test_the_rate_that_is_asked_for_is_enough_and_hardly_too_much(
    people: int, rate: float, share: float
) -> None:
    seconds = people / rate * share
    queue = [queued("ask", people, last=NOW + timedelta(seconds=seconds))]
    found = remedies(queue, Capacity(rate=rate), NOW, "ask")
    assert found.rate is not None
    assert found.rate == pytest.approx(rate / share, rel=0.03)
    [said] = forecast(queue, Capacity(rate=found.rate), NOW)
    assert said.holds


def test_each_remedy_helps_by_itself() -> None:
    queue = [
        queued("big", 6_000, last=NOW + 200 * MINUTE),
        queued("ask", 600, last=NOW + 210 * MINUTE),
    ]
    slow = Capacity(rate=0.5)
    found = remedies(queue, slow, NOW, "ask")
    assert found.first
    assert found.rate is not None
    assert found.daily_quota is None, "there is none"
    assert found.later == NOW + 220 * MINUTE, "when all else has gone or expired"

    scarce = Capacity(rate=100, quota_left=6_000, daily_quota=6_000)
    found = remedies(queue, scarce, NOW, "ask")
    assert found.rate is None, "a rate does not help"
    assert found.daily_quota is not None
    assert found.daily_quota == pytest.approx(6_600, rel=0.01)
    [_, said] = forecast(queue, replace(scarce, quota_left=found.daily_quota), NOW)
    assert said.holds
    warming = Capacity(rate=100, days={date(2026, 5, 7): 6_000, date(2026, 5, 8): 0})
    assert remedies(queue, warming, NOW, "ask").warm_up
