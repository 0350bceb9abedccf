"""When the forwarder rests, so that people are answered first."""

from __future__ import annotations

from services.tracker.forwarding import REST, REST_SECONDS, rest_seconds


def test_it_rests_in_proportion_while_people_wait() -> None:
    assert rest_seconds(0.01, 1.0, people_wait=True) == REST * 0.01


def test_it_does_not_rest_when_nobody_waits_or_when_it_is_far_behind() -> None:
    assert rest_seconds(0.01, 1.0, people_wait=False) == 0.0
    assert rest_seconds(0.01, REST_SECONDS, people_wait=True) == 0.0
