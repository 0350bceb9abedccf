"""Waiting for what all work hangs on."""

from __future__ import annotations

import threading

import pytest

from shared.errors import Conflict, RetryLater, StoreRefuses
from shared.loop.patience import MOST_CONFLICTS, Patience


def failing(times: int, done: list[str]) -> object:
    """Raises so many times, then does it."""
    left = [times]

    def step() -> None:
        if left[0]:
            left[0] -= 1
            raise RetryLater("not now", after_seconds=0.001)
        done.append("done")

    return step


def test_it_is_done_in_the_end_and_every_wait_is_noticed() -> None:
    noticed: list[RetryLater] = []
    done: list[str] = []
    patience = Patience(60, threading.Event(), noticed.append)
    patience.insist(failing(3, done))  # type: ignore[arg-type]
    assert (done, len(noticed)) == (["done"], 3)


def test_it_ends_when_it_has_lasted_too_long_since_the_last_success() -> None:
    patience = Patience(0.05, threading.Event(), lambda _: None)
    for _ in range(20):
        patience.wait(RetryLater("not now", after_seconds=0.001))
        patience.over()
    with pytest.raises(RetryLater, match="tried for 0 s in vain: not now"):
        patience.insist(failing(1_000, []))  # type: ignore[arg-type]


def test_a_stop_is_heard_in_a_pause() -> None:
    stopping = threading.Event()
    patience = Patience(60, stopping, lambda _: stopping.set())
    with pytest.raises(RetryLater, match=r"^not now$"):
        patience.wait(RetryLater("not now", after_seconds=60))


def test_races_with_other_instances_are_tried_again_and_what_never_goes_in_is_not() -> None:
    patience = Patience(60, threading.Event(), lambda _: None)
    race = Conflict("there already", after_seconds=0.001)
    for _ in range(10):
        for _ in range(MOST_CONFLICTS):
            patience.wait(race)
        patience.over()
    for _ in range(MOST_CONFLICTS):
        patience.wait(race)
    with pytest.raises(StoreRefuses, match="there already"):
        patience.wait(race)
