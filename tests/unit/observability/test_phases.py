"""Where the loop's time goes: every phase is counted, and they add up."""

from __future__ import annotations

import time
from typing import get_args

import pytest

from shared.observability import phases as module
from shared.observability.metrics import Metrics
from shared.observability.phases import Phase


def seconds(metrics: Metrics, phase: str) -> float | None:
    return metrics.registry.get_sample_value(
        "doorstep_loop_seconds_total", {"service": "x", "phase": phase}
    )


def test_all_begin_at_nought() -> None:
    assert {seconds(Metrics("x"), phase) for phase in get_args(Phase)} == {0}


def test_entering_one_ends_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "time", type("Time", (), {"monotonic": lambda: now[0]}))
    metrics = Metrics("x")
    for phase, lasts in (("poll", 1), ("handle", 2), ("commit", 4), ("handle", 8), (None, 16)):
        metrics.phases.enter(phase)
        now[0] += lasts
    metrics.phases.enter("tick")
    found = {phase: seconds(metrics, phase) for phase in get_args(Phase)}
    assert found == {"poll": 1, "handle": 10, "commit": 4, "tick": 0, "publish": 0}


def test_a_process_tells_when_it_began() -> None:
    began = Metrics("x").registry.get_sample_value(
        "doorstep_start_timestamp_seconds", {"service": "x"}
    )
    assert began == pytest.approx(time.time(), abs=60)
