"""The token bucket: never more than the rate allows, slower when SES says so, and back again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.sender.pacing import (
    BURST_SECONDS,
    DECREASE,
    FLOOR,
    Bucket,
    give_back,
    refill,
    slow_down,
    take,
)

rates = st.floats(1, 500)
steps = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 64), st.integers(0, 64)), max_size=40)


@given(rates, steps)
def test_over_any_interval_no_more_goes_than_the_rate_and_a_burst(
    rate: float, steps: list[tuple[float, int, int]]
) -> None:
    bucket, now = Bucket.start(rate, 100.0), 100.0
    gone: list[tuple[float, int]] = []
    for pause, wanted, unused in steps:
        now += pause
        bucket, granted = take(bucket, wanted, now)
        assert 0 <= granted <= wanted
        back = min(unused, granted)
        bucket = give_back(bucket, back)
        gone.append((now, granted - back))
    burst = max(1.0, rate * BURST_SECONDS)
    for begin in range(len(gone)):
        total = 0
        for at, number in gone[begin:]:
            total += number
            assert total <= rate * (at - gone[begin][0]) + burst + 1e-6


@given(rates)
def test_what_is_given_back_is_there_again(rate: float) -> None:
    bucket, granted = take(Bucket.start(rate, 0.0), 1_000, 0.0)
    assert take(bucket, 1_000, 0.0)[1] == 0
    assert take(give_back(bucket, granted), 1_000, 0.0)[1] == granted


def test_too_fast_cuts_the_rate_once_a_window_and_it_recovers() -> None:
    bucket = slow_down(Bucket.start(100.0, 0.0), 1.0)
    assert (bucket.tokens, bucket.rate) == (0.0, 100.0 * DECREASE)
    for _ in range(16):
        bucket = slow_down(bucket, 1.1)
    assert bucket.rate < 100.0 * DECREASE + 1
    bucket = slow_down(bucket, 2.0)
    assert bucket.rate < 100.0 * DECREASE * (DECREASE + 0.05)
    assert refill(bucket, 100.0).rate == 100.0
    for second in range(100):
        bucket = slow_down(bucket, 3.0 + second)
    assert bucket.rate >= FLOOR


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket, _ = take(Bucket.start(100.0, 50.0), 1_000, 50.0)
    assert take(bucket, 10, 40.0)[1] == 0
    assert take(take(bucket, 10, 40.0)[0], 10, 50.0)[1] == 0
