"""A send that goes wrong holds itself and says why; resuming begins a new count."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from shared.log.topics import CONTROL
from shared.wire.cloudevents import decode
from shared.wire.control import SendHeld
from tests.integration.sender.audience import Person, entry, mail_to, people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Body, Station
from tests.integration.sender.test_account import asked
from tests.integration.sender.test_figures import figure

LEAST = 20


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    """Some ten mails a second, so that there is something left to hold."""
    with Station(
        tmp_path_factory.mktemp("breakers"), "--bounce-delay-ms", "0", body=body,
        rate=30, breaker_least=LEAST, breaker_failures=4, breaker_complaints=0.1,
    ) as running:  # fmt: skip
        running.start_sender().wait_for_line("loop.ownership")
        yield running


def fated(number: int, word: str, seed: str) -> list[Person]:
    """People whose mailboxes do with every mail what the word says."""
    return [Person(str(uuid.uuid4()), f"{seed}{n}+{word}@example.org") for n in range(number)]


def holds_told(station: Station, send: str) -> list[SendHeld]:
    """What stands on `control` about holds of a send; each once, by its id."""
    follower = station.log.follow(CONTROL)
    found = {}
    while records := follower.read():
        for each in map(decode, records):
            if isinstance(each.data, SendHeld) and each.data.send_id == send:
                found[each.id] = each.data
    follower.close()
    return list(found.values())


def wait_until_held(station: Station, send: str, why: str, times: int = 1) -> str:
    """The reason, once the send is held so often and everybody has heard of it."""
    until(lambda: len(holds_told(station, send)) == times, f"{send} to be held {times} times")
    assert {held.why for held in holds_told(station, send)} == {why}
    until(lambda: not station.states(send)["attempting"], "the calls in flight to end")
    reason = asked(station, f"books?send={send}")["held"]
    assert reason in {held.reason for held in holds_told(station, send)}
    return str(reason)


def test_bounces_hold_a_send_before_it_is_out_and_a_resume_counts_anew(station: Station) -> None:
    bad = fated(150, "bounce", "b")
    station.feed("bouncing", bad)

    reason = wait_until_held(station, "bouncing", "bounces")

    assert "bounced (100.00%; more than 5.00% holds a send)" in reason
    held_at = station.states("bouncing")
    assert held_at["ready"] > 0
    assert (figure(station, "doorstep_sends_held_total", why="bounces") or 0) >= 1
    station.feed("beside-bouncing", people(5, "beside"))
    station.wait_for_states("beside-bouncing", accepted=5)
    assert station.states("bouncing") == held_at, "it stays so, others go"

    station.order("bouncing", paused=False)
    wait_until_held(station, "bouncing", "bounces", times=2)
    more = station.states("bouncing")["accepted"] - held_at["accepted"]
    assert more >= LEAST, "a new count from the resume on"

    station.order("bouncing", cancelled=True)
    station.wait_until_closed("bouncing", len(bad))
    assert station.audit("bouncing", "beside-bouncing")["balanced"]


def test_complaints_hold_a_send(station: Station) -> None:
    station.feed("annoying", fated(80, "complaint", "c"))
    reason = wait_until_held(station, "annoying", "complaints")
    assert "were complained of" in reason
    assert station.states("annoying")["ready"] > 0


def test_a_few_bounces_and_soft_ones_hold_nothing(station: Station) -> None:
    audience = [*fated(1, "bounce", "f"), *fated(20, "softbounce", "s"), *people(40, "sound")]
    station.feed("sound", audience)
    station.wait_for_states("sound", accepted=len(audience))
    station.wait_for_event("sound", "soft_bounced", 20)
    assert holds_told(station, "sound") == []


def test_refusals_in_a_row_hold_a_send(station: Station) -> None:
    audience = people(60, "refused")
    twice = "Subject: a\r\nSubject: b"
    station.feed_entries(
        [
            entry("broken", one, mail=mail_to(one).replace("Subject: Spring", twice))
            for one in audience
        ]
    )

    reason = wait_until_held(station, "broken", "failures")

    assert "in a row" in reason
    assert "Duplicate header" in reason
    states = station.states("broken")
    assert 4 <= states["failed"] <= 4 + 2 * int(str(station.settings["sender__window"]))
    assert states["ready"] == 60 - states["failed"]
