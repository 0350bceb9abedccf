"""The SES account is known before a call is wasted: its quota, its rate, its standing."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.ses_sandbox_client import send, ses_client
from tests.integration.sender.audience import people
from tests.integration.sender.processes import until
from tests.integration.sender.station import WINDOW, Body, Station
from tests.integration.sender.test_figures import figure

PEOPLE = 30


@pytest.fixture
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("account"), body=body, account_seconds=1) as running:
        yield running


def asked(station: Station, what: str) -> dict[str, Any]:
    """What the sender answers to a question."""
    url = f"http://127.0.0.1:{station.settings['sender__port']}/ask/{what}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def requests_of(station: Station, name: str) -> list[str]:
    """How SES answered each request of a send."""
    return [line["outcome"] for line in station.sandbox.journal() if line["tags"].get("s") == name]


@pytest.mark.parametrize(
    ("trouble", "word", "reason"),
    [
        ({"sending_paused": True}, "switched off", "disabled"),
        ({"enforcement_status": "SHUTDOWN"}, "shut down", "shut_down"),
    ],
)
def test_an_account_that_cannot_send_is_not_called_and_it_goes_on_when_it_can(
    station: Station, trouble: dict[str, object], word: str, reason: str
) -> None:
    before = station.sandbox.switch()
    station.sandbox.switch(**trouble)
    station.feed("spring", people(PEOPLE))
    station.start_sender().wait_for_line("sender.account_holds_all")
    station.wait_for_states("spring", ready=PEOPLE)
    until(lambda: figure(station, "doorstep_account_held", reason=reason) == 1, "the figure")
    assert word in asked(station, "books?send=spring")["account_stopped"]
    assert requests_of(station, "spring") == []

    station.sandbox.switch(**{name: before[name] for name in trouble})

    station.wait_for_states("spring", accepted=PEOPLE)
    assert figure(station, "doorstep_account_held", reason=reason) == 0
    assert asked(station, "books?send=spring")["account_stopped"] is None
    assert station.audit("spring")["balanced"]


def test_a_quota_that_others_have_used_up_is_seen_before_the_first_call(station: Station) -> None:
    station.sandbox.switch(daily_quota=5)
    with ses_client(station.sandbox.url) as other:
        for _ in range(5):
            send(other)
    station.feed("spring", people(PEOPLE))
    station.start_sender().wait_for_line("sender.account_holds_all")
    station.wait_for_states("spring", ready=PEOPLE)
    assert requests_of(station, "spring") == []

    station.sandbox.switch(daily_quota=1_000)

    station.wait_for_states("spring", accepted=PEOPLE)
    assert station.audit("spring")["balanced"]


def test_a_quota_that_ends_under_way_holds_what_is_left_and_nothing_is_lost(
    station: Station,
) -> None:
    """It ends twice, as over days."""
    station.sandbox.switch(daily_quota=10)
    station.feed("spring", people(PEOPLE))
    sender = station.start_sender()
    for quota in (20, 1_000):
        station.wait_for_states("spring", accepted=quota - 10 if quota == 20 else 20,
                                ready=PEOPLE - (quota - 10 if quota == 20 else 20))  # fmt: skip
        until(lambda: asked(station, "account")["stopped"] is not None, "the end to be known")
        assert asked(station, "account")["quota_left"] == 0
        sender.kill()  # it does not wait out the minute that follows a refusal
        station.sandbox.switch(daily_quota=quota)
        sender = station.start_sender()

    station.wait_for_states("spring", accepted=PEOPLE)
    answers = requests_of(station, "spring")
    assert answers.count("accepted") == PEOPLE
    assert answers.count("refused") <= 2 * WINDOW, "SES had to say it once each time"
    assert station.audit("spring", kills=2)["balanced"]


def test_a_reserve_of_the_quota_is_left_alone(station: Station) -> None:
    station.sandbox.switch(daily_quota=100, max_send_rate=5)
    station.feed("spring", people(PEOPLE))
    station.start_sender(sender__daily_reserve=90)
    until(lambda: asked_quietly(station).get("quota_left") == 0, "ten to be sent")

    mailed = station.mailed("spring").total()
    assert 10 <= mailed <= 10 + 5 + WINDOW, "within a second of the end"
    assert "refused" not in requests_of(station, "spring")
    assert station.states("spring")["ready"] >= PEOPLE - mailed - WINDOW


def test_without_a_rate_of_its_own_the_sender_keeps_below_that_of_ses(station: Station) -> None:
    station.sandbox.switch(max_send_rate=20)
    del station.settings["sender__rate"]
    station.feed("spring", people(PEOPLE))
    station.start_sender()

    station.wait_for_states("spring", accepted=PEOPLE)

    assert asked(station, "account")["permitted_rate"] == 18
    assert figure(station, "doorstep_permitted_messages_per_second") == 18
    assert "refused" not in requests_of(station, "spring")


def test_it_goes_on_when_ses_does_not_answer_the_question(station: Station) -> None:
    """Credentials without ses:GetAccount, say: an endpoint that knows no such path."""
    station.feed("spring", people(PEOPLE))
    sender = station.start_sender(sender__ses_endpoint=f"{station.sandbox.url}/elsewhere")
    sender.wait_for_line("sender.account_unknown")
    sender.kill()

    station.start_sender()

    station.wait_for_states("spring", accepted=PEOPLE)


def asked_quietly(station: Station) -> dict[str, Any]:
    """What is known of the account; nothing while the sender starts."""
    try:
        return asked(station, "account")
    except OSError:
        return {}
