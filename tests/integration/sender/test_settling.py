"""What becomes of messages in doubt: left, resent once, or lifted by what SES tells later."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.sender.audience import people
from tests.integration.sender.processes import ServiceProcess, until
from tests.integration.sender.station import Body, Station

PEOPLE = 4
SETTLE = 5
PULSE = 3


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("settling"), body=body, settle_seconds=SETTLE) as running:
        yield running


@pytest.fixture(scope="module")
def sender(station: Station) -> ServiceProcess:
    return station.start_sender().wait_for_line("loop.ownership")


def put_in_doubt(
    station: Station, send: str, *, fault: str = "close_before", **fields: object
) -> None:
    """Mail a send whose calls all end without an answer; SES is sound again afterwards."""
    station.sandbox.switch(faults={fault: 1.0})
    station.feed(send, people(PEOPLE, send), **fields)
    station.wait_for_states(send, **{"in doubt": PEOPLE})
    station.sandbox.switch(faults={})


def prove_alive(station: Station, send: str) -> None:
    """Mail somebody else a while after the doubt, and hear of it."""
    later = time.monotonic() + SETTLE * 0.2
    until(lambda: time.monotonic() >= later, "a fifth of the window")
    pulse = f"{send}-pulse"
    station.feed(pulse, people(PULSE, pulse))
    station.wait_for_states(pulse, accepted=PULSE)
    station.wait_until_heard(pulse)


def requests(station: Station, send: str) -> Counter[str]:
    """How often SES was asked for each message of a send."""
    return Counter(
        str(line["tags"]["m"]) for line in station.sandbox.journal() if line["tags"]["s"] == send
    )


def reasons(station: Station, send: str) -> set[str]:
    return {str(row["reason"]) for row in station.rows(send).values()}


def test_what_is_left_stays_unconfirmed_and_was_asked_once(
    station: Station, sender: ServiceProcess
) -> None:
    put_in_doubt(station, "left")
    prove_alive(station, "left")

    station.wait_for_states("left", unconfirmed=PEOPLE)

    assert reasons(station, "left") == {"SES reported nothing within the settle window"}
    assert set(requests(station, "left").values()) == {1}
    assert station.audit("left", kills=0)["balanced"]


def test_what_may_be_resent_is_resent_once_when_events_are_known_to_come(
    station: Station, sender: ServiceProcess
) -> None:
    put_in_doubt(station, "resent", resend_unconfirmed=True)
    prove_alive(station, "resent")

    station.wait_for_states("resent", accepted=PEOPLE)

    assert set(requests(station, "resent").values()) == {2}
    assert {row["attempt"] for row in station.rows("resent").values()} == {2}
    assert station.audit("resent", policy="resend")["balanced"]


def test_what_is_in_doubt_again_after_a_resend_is_left(
    station: Station, sender: ServiceProcess
) -> None:
    put_in_doubt(station, "again", resend_unconfirmed=True)
    prove_alive(station, "again")
    station.sandbox.switch(faults={"reset_before": 1.0})

    station.wait_for_states("again", unconfirmed=PEOPLE)

    station.sandbox.switch(faults={})
    assert set(requests(station, "again").values()) == {2}
    assert reasons(station, "again") == {"in doubt again after it was resent once"}
    assert station.audit("again", policy="resend", kills=0)["balanced"]


def test_nothing_is_resent_past_its_deadline(station: Station, sender: ServiceProcess) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=SETTLE + 1)
    put_in_doubt(station, "late", resend_unconfirmed=True, deadline=deadline)
    prove_alive(station, "late")

    station.wait_for_states("late", unconfirmed=PEOPLE)

    assert reasons(station, "late") == {"not resent: its deadline has passed"}
    assert set(requests(station, "late").values()) == {1}
    assert station.audit("late", policy="resend", kills=0)["balanced"]


@pytest.mark.parametrize("end", ["deadline", "cancelled", "suppressed"])
def test_a_resend_that_is_stopped_stays_in_doubt_for_ever(
    station: Station, sender: ServiceProcess, end: str
) -> None:
    """It may have been mailed: nobody may claim that it expired, or was cancelled, or kept back."""
    send = f"stopped-by-{end}"
    deadline = datetime.now(UTC) + timedelta(seconds=SETTLE + 7)
    put_in_doubt(station, send, resend_unconfirmed=True, deadline=deadline)
    station.order(send, paused=True)
    prove_alive(station, send)
    station.wait_for_states(send, ready=PEOPLE)

    if end == "cancelled":
        station.order(send, paused=True, cancelled=True)
    elif end == "suppressed":
        for person in people(PEOPLE, send):
            station.suppress(person.supporter_id, "everything", "unsubscribed")
        station.wait_until_ordered()
        station.order(send, paused=False)

    station.wait_for_states(send, unconfirmed=PEOPLE)
    assert all(reason.startswith("not resent: ") for reason in reasons(station, send))
    assert set(requests(station, send).values()) == {1}
    assert station.audit(send, policy="resend", kills=0)["balanced"]


def test_nothing_is_resent_while_events_are_silent_and_late_ones_still_count(
    station: Station, sender: ServiceProcess
) -> None:
    """SES took all of it: a resend on trust would have mailed everybody twice."""
    with station.beside("silent", settle_seconds=1) as here:
        here.sandbox.switch(events_held=True)
        here.start_sender()
        put_in_doubt(here, "silent", fault="close_after", resend_unconfirmed=True)
        here.feed("silent-pulse", people(PULSE, "silent-pulse"))

        here.wait_for_states("silent", unconfirmed=PEOPLE)

        assert "nothing proves that SES's events came" in "".join(reasons(here, "silent"))
        assert set(requests(here, "silent").values()) == {1}
        here.sandbox.switch(events_held=False)
        here.wait_for_states("silent", accepted=PEOPLE)
        assert here.audit("silent", policy="resend", kills=0)["balanced"]


def test_nothing_is_resent_of_a_time_whose_events_were_dropped(
    station: Station, sender: ServiceProcess
) -> None:
    """SES took all of it, and SNS gave up telling: that events come now proves nothing of then."""
    station.sandbox.switch(events_dropped=True)
    station.feed("untold", people(PULSE, "untold"))
    station.wait_for_states("untold", accepted=PULSE)
    put_in_doubt(station, "dropped", fault="close_after", resend_unconfirmed=True)
    later = time.monotonic() + 1
    until(lambda: time.monotonic() >= later, "their events to be due, and dropped")
    station.sandbox.switch(events_dropped=False)
    prove_alive(station, "dropped")

    station.wait_for_states("dropped", unconfirmed=PEOPLE)

    assert "nothing proves that SES's events came" in "".join(reasons(station, "dropped"))
    assert set(requests(station, "dropped").values()) == {1}
    counts = station.audit("dropped", policy="resend")["counts"]
    assert {kind: number for kind, number in counts.items() if number} == {
        "not booked as accepted": PEOPLE
    }, "SES has not told, and never will"


def test_an_operator_may_leave_at_once(station: Station, sender: ServiceProcess) -> None:
    put_in_doubt(station, "left-by-hand", resend_unconfirmed=True)

    station.order("left-by-hand", settle="leave")

    station.wait_for_states("left-by-hand", unconfirmed=PEOPLE)
    assert reasons(station, "left-by-hand") == {"left by an operator"}
    assert station.audit("left-by-hand")["balanced"]


def test_an_operator_may_resend_what_was_left(station: Station, sender: ServiceProcess) -> None:
    put_in_doubt(station, "by-hand")
    prove_alive(station, "by-hand")
    station.wait_for_states("by-hand", unconfirmed=PEOPLE)

    station.order("by-hand", settle="resend")

    station.wait_for_states("by-hand", accepted=PEOPLE)
    assert set(requests(station, "by-hand").values()) == {2}
    assert station.audit("by-hand", policy="resend")["balanced"]


@pytest.mark.parametrize("fault", [None, "error_500_after", "close_after"])
def test_an_answer_that_comes_after_the_event_changes_nothing(
    station: Station, fault: str | None
) -> None:
    """SES takes the mail after a second and a half and answers as much later."""
    slowly = ("--latency-ms", "3000")
    with station.beside(f"late-{fault}", *slowly, read_timeout_seconds=10) as here:
        here.sandbox.switch(faults={fault: 1.0} if fault else {})
        here.feed("late", people(PEOPLE, "late"))
        sender = here.start_sender()
        here.wait_for_states("late", accepted=PEOPLE)
        told_by_event = here.rows("late")

        assert sender.stop() == 0, "it waits for the answers and writes what they say"

        assert here.rows("late") == told_by_event
        assert here.events("late", "unconfirmed") == []
        assert len(here.events("late", "accepted")) == PEOPLE
        assert here.audit("late")["balanced"]
