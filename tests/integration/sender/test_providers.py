"""A mailbox provider that is full waits, and holds up nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from shared.programme.definitions import Provider
from tests.integration.sender.audience import Person, people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Body, Station
from tests.integration.sender.test_figures import figure
from tests.integration.sender.test_warm_up import apply_campaign

GMAIL = {"gmail": Provider(domains=("gmail.example",), rate=0.4)}


@pytest.fixture
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("providers"), body=body) as running:
        yield running


def at_gmail(number: int) -> list[Person]:
    return [Person(str(uuid.uuid4()), f"p{n}@mail.gmail.example") for n in range(number)]


def mailed(station: Station, send: str, audience: list[Person]) -> int:
    """How many of these SES has taken."""
    taken = station.mailed(send)
    return sum(taken[person.message_of(send)] for person in audience)


def test_those_behind_a_full_provider_go_first_and_its_own_follow(station: Station) -> None:
    slow, others = at_gmail(40), people(120)
    apply_campaign(station, providers=GMAIL)
    station.feed("spring", slow)
    station.feed("spring", others)
    sender = station.start_sender()

    until(lambda: mailed(station, "spring", others) == 120, "all others")

    assert mailed(station, "spring", slow) < 40, "these take more than a minute"
    until(lambda: (figure(station, "doorstep_parked_messages") or 0) > 0, "some to be parked")
    station.feed("autumn", people(10, "autumn"))
    station.wait_for_states("autumn", accepted=10)
    assert mailed(station, "spring", slow) < 40, "nor do they hold up another send"
    sender.kill()
    apply_campaign(station, providers={"gmail": GMAIL["gmail"].model_copy(update={"rate": 50.0})})
    station.start_sender()

    station.wait_until_closed("spring", 160)
    assert station.audit("spring", "autumn", kills=1)["balanced"]
    said = sender.said()
    assert "gmail.example" not in said


def test_what_was_put_back_behind_is_not_forgotten(station: Station) -> None:
    """Refusals that cost nothing make rows ready again before those that were passed."""
    apply_campaign(station, providers={"gmail": GMAIL["gmail"].model_copy(update={"rate": 8.0})})
    station.sandbox.switch(faults={"throttle_429": 0.3})
    station.feed("spring", [*at_gmail(30), *people(30)])
    station.start_sender()

    station.wait_for_states("spring", accepted=60)

    assert station.audit("spring")["balanced"]
