"""The sender is killed at every commit point, twice, while SES misbehaves.

Nobody is mailed twice, nobody is forgotten, and unconfirmed stay exactly those who were asked for
and whom SES never took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.integration.sender.audience import people
from tests.integration.sender.processes import until
from tests.integration.sender.station import WINDOW, Station

PEOPLE = 60
POINTS = (
    "stateful.before_commit",
    "stateful.after_commit",
    "relay.before_commit",
    "relay.after_commit",
    "sender.attempting.before_commit",
    "sender.attempting.after_commit",
    "sender.called",
    "sender.outcome.before_commit",
    "sender.outcome.after_commit",
    "sender.settle.after_commit",
)
FAULTS = {"close_before": 0.12, "close_after": 0.08, "throttle_429": 0.05}
ANSWERLESS = "close_before"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("crashes"), rate=150, settle_seconds=4) as running:
        running.sandbox.switch(faults=FAULTS)
        yield running


def in_state(station: Station, send: str, state: str) -> set[str]:
    return {name for name, row in station.rows(send).items() if row["state"] == state}


def keep_the_channel_alive_until_closed(station: Station, send: str) -> None:
    """What is in doubt is resent only when SES's events are known to come: somebody is mailed."""
    end = time.monotonic() + 90
    pulses = 0
    while station.open(send):
        assert time.monotonic() < end, station.states(send)
        pulses += 1
        station.feed(f"{send}-pulse-{pulses}", people(2, f"{send}-pulse-{pulses}"))
        next_pulse = time.monotonic() + 1.0
        until(lambda due=next_pulse: time.monotonic() >= due or not station.open(send), "a second")


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_neither_doubles_nor_forgets(station: Station, point: str) -> None:
    leave, resend = f"{point.replace('.', '-')}-leave", f"{point.replace('.', '-')}-resend"
    station.feed(resend, people(PEOPLE, resend), resend_unconfirmed=True)
    station.feed(leave, people(PEOPLE, leave))

    interrupted: set[str] = set()
    for visit in (1, 1 if "settle" in point else 2):
        assert station.start_sender(fail_at=f"{point}:{visit}").wait() == -9
        calling = in_state(station, leave, "attempting")
        both = calling | in_state(station, resend, "attempting")
        assert len(both) <= WINDOW, "never more in doubt than calls in flight"
        interrupted |= calling
    sender = station.start_sender()
    keep_the_channel_alive_until_closed(station, resend)
    station.wait_until_closed(leave, PEOPLE)
    station.wait_until_heard(leave, resend)
    assert sender.stop() == 0

    for send, policy in ((leave, "leave"), (resend, "resend")):
        verdict = station.audit(send, policy=policy, kills=2, window=WINDOW)
        assert verdict["findings"] == []
        assert verdict["balanced"]
    unanswered = {
        line["tags"]["m"] for line in station.sandbox.journal() if line["fault"] == ANSWERLESS
    }
    in_doubt = (interrupted | unanswered & station.rows(leave).keys()) - station.mailed(
        leave
    ).keys()
    assert in_state(station, leave, "unconfirmed") == in_doubt
    assert in_state(station, leave, "accepted") == station.rows(leave).keys() - in_doubt
    assert station.doubled_records() == []
