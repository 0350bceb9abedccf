"""People are erased while a sender runs, stands still, dies: it forgets them; books balance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.ports import free_port
from tests.integration.sender.audience import Person, people
from tests.integration.sender.processes import ServiceProcess, until
from tests.integration.sender.station import Body, Station
from tests.real_postgres import PostgresServer

PEOPLE = 6
SETTLE = 12
"""Two thirds of it are for the pulse to be told of, on a busy machine too."""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    home = tmp_path_factory.mktemp("erasures")
    with Station(home, body=body, settle_seconds=SETTLE) as running:
        yield running


@pytest.fixture(scope="module")
def sender(station: Station) -> ServiceProcess:
    return station.start_sender().wait_for_line("loop.ownership")


def erase(station: Station, *persons: Person, by_id: bool = False) -> None:
    """What `doorstep erase` says to the sender."""
    for person in persons:
        station.suppress(person.supporter_id, "everything", "erased")
        if not by_id:
            station.suppress(person.address_key, "everything", "erased")


def reachable(station: Station, send: str) -> set[str]:
    """Messages of a send whose row says where it goes."""
    found = station.books.rows(
        "select message_id from message where send_id = ? and to_address <> ''", (send,)
    )
    return {message_id for (message_id,) in found}


def wait_until_forgotten(station: Station, send: str, *persons: Person) -> None:
    """Return once these are, and see that nobody else is."""
    gone = {person.message_of(send) for person in persons}
    until(lambda: not reachable(station, send) & gone, f"{send} to be forgotten")
    assert reachable(station, send) == station.rows(send).keys() - gone


def test_who_was_mailed_is_forgotten_and_the_books_balance(
    station: Station, sender: ServiceProcess
) -> None:
    first, second, *_ = station.feed("mailed", people(PEOPLE, "mailed"))
    station.wait_for_states("mailed", accepted=PEOPLE)
    station.wait_until_heard("mailed")

    erase(station, first)
    erase(station, second, by_id=True)

    wait_until_forgotten(station, "mailed", first, second)
    assert station.states("mailed") == {"accepted": PEOPLE}
    assert station.audit("mailed", kills=0)["balanced"]


def test_who_comes_after_the_suppression_is_never_reachable(
    station: Station, sender: ServiceProcess
) -> None:
    found = people(PEOPLE, "later")
    erase(station, found[0])
    station.wait_until_ordered()

    station.feed("later", found)

    station.wait_for_states("later", accepted=PEOPLE - 1, suppressed=1)
    wait_until_forgotten(station, "later", found[0])
    row = station.rows("later")[found[0].message_of("later")]
    assert (row["state"], row["reason"]) == ("suppressed", "erased")
    assert station.audit("later", kills=0)["balanced"]


def test_who_waits_in_a_paused_send_is_forgotten_at_once(
    station: Station, sender: ServiceProcess
) -> None:
    station.order("paused", paused=True)
    station.wait_until_ordered()
    first, *_ = station.feed("paused", people(PEOPLE, "paused"))
    station.wait_for_states("paused", ready=PEOPLE)

    erase(station, first)

    station.wait_for_states("paused", ready=PEOPLE - 1, suppressed=1)
    wait_until_forgotten(station, "paused", first)
    station.order("paused", paused=False)
    station.wait_for_states("paused", accepted=PEOPLE - 1, suppressed=1)
    assert station.audit("paused", kills=0)["balanced"]


def test_who_is_in_doubt_is_forgotten_and_never_mailed_again(
    station: Station, sender: ServiceProcess
) -> None:
    """The policy would have it resent once SES's events are known to come."""
    send = "in-doubt"
    station.sandbox.switch(faults={"close_before": 1.0})
    first, *others = station.feed(send, people(PEOPLE, send), resend_unconfirmed=True)
    station.wait_for_states(send, **{"in doubt": PEOPLE})
    station.sandbox.switch(faults={})

    erase(station, first)

    wait_until_forgotten(station, send, first)
    station.feed("pulse", people(2, "pulse"))
    station.wait_for_states("pulse", accepted=2)
    station.wait_until_heard("pulse")
    station.wait_for_states(send, accepted=len(others), unconfirmed=1)
    assert station.rows(send)[first.message_of(send)]["reason"] == "not resent: erased"
    assert first.message_of(send) not in station.mailed(send)
    wait_until_forgotten(station, send, first)
    assert station.audit(send, policy="resend", kills=0)["balanced"]


def test_what_was_suppressed_while_no_sender_ran_is_forgotten_by_the_next(
    station: Station,
) -> None:
    with station.beside("stopped") as here:
        here.order("waiting", paused=True)
        running = here.start_sender()
        here.wait_until_ordered()
        mailed, *_ = here.feed("gone", people(PEOPLE, "gone"))
        waits, *_ = here.feed("waiting", people(PEOPLE, "waiting"))
        here.wait_for_states("gone", accepted=PEOPLE)
        here.wait_for_states("waiting", ready=PEOPLE)
        here.wait_until_heard("gone")
        assert running.stop() == 0
        erase(here, mailed, waits)

        here.start_sender()

        wait_until_forgotten(here, "gone", mailed)
        wait_until_forgotten(here, "waiting", waits)
        here.order("waiting", paused=False)
        here.wait_for_states("waiting", accepted=PEOPLE - 1, suppressed=1)
        assert here.audit("gone", "waiting", kills=0)["balanced"]


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_a_crash_while_forgetting_loses_and_doubles_nothing(station: Station, moment: str) -> None:
    with station.beside(f"crash-{moment}") as here:
        here.order("waiting", paused=True)
        dying = here.start_sender(fail_at=f"sender.forget.{moment}")
        here.wait_until_ordered()
        waits, *_ = here.feed("waiting", people(PEOPLE, "waiting"))
        here.wait_for_states("waiting", ready=PEOPLE)

        erase(here, waits, by_id=True)

        assert dying.wait() == -9
        forgotten = moment == "after_commit"
        assert (waits.message_of("waiting") not in reachable(here, "waiting")) == forgotten
        assert here.states("waiting")["suppressed"] == forgotten
        here.start_sender()
        here.wait_for_states("waiting", ready=PEOPLE - 1, suppressed=1)
        wait_until_forgotten(here, "waiting", waits)
        here.order("waiting", paused=False)
        here.wait_for_states("waiting", accepted=PEOPLE - 1, suppressed=1)
        here.wait_until_heard("waiting")
        assert here.audit("waiting", kills=1)["balanced"]
        assert here.doubled_records() == []


def test_two_senders_forget_each_their_own_and_what_they_take_over(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    with Station(tmp_path, body=postgres_server.dsn) as here:
        first, second = (here.start_sender(sender__port=free_port()) for _ in range(2))
        first.wait_for_line("loop.ownership")
        second.wait_for_line("loop.ownership")
        found = here.feed("shared", people(40, "shared"))
        here.wait_for_states("shared", accepted=40)
        here.wait_until_heard("shared")

        erase(here, *found[:20])
        wait_until_forgotten(here, "shared", *found[:20])
        second.freeze()
        erase(here, *found[20:])
        wait_until_forgotten(here, "shared", *found)

        second.thaw()
        assert here.states("shared") == {"accepted": 40}
        assert here.audit("shared", kills=0)["balanced"]
        assert first.stop() == 0
