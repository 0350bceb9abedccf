"""Tests of a send: to seeds, marked, paced, looked at, and in no book."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.ids import address_key
from shared.log.topics import PROGRAMME
from shared.programme.definitions import Campaign, Disclaimer
from shared.programme.versions import to_wire
from shared.wire.cloudevents import encode
from tests.integration.sender.audience import SECRET, SENDER, people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Station

SEEDS = ("Editor@Example.org", "phone+seed@example.org")
MAIL = (
    f"From: {SENDER}\r\nTo: editor@example.org\r\nReply-To: a@example.org\r\n"
    "Subject: =?utf-8?b?WsO8cmljaA==?=\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n\r\nSubject: not this one\r\n"
)


def name_seeds(station: Station, *seeds: str) -> None:
    campaign = Campaign(
        name="river", organisation="River", from_name="River", from_address="news@mail.example.com",
        reply_to="a@example.org", postal_address="1 Quay", seeds=seeds,
        disclaimer=Disclaimer(jurisdiction="none", reason="a test"),
    )  # fmt: skip
    now = datetime.now(UTC)
    record = to_wire(campaign, now)
    station.log.append(
        [
            encode(
                record, id=f"{now.timestamp()}{key}", source="console", subject=key, time=now,
                topic=PROGRAMME, partition=0, key=key,
            )
            for key in (f"definition/campaign/river@{record.version}", "definition/campaign/river")
        ]
    )  # fmt: skip


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station(tmp_path) as made:
        name_seeds(made, *SEEDS)
        made.start_sender()
        port = int(str(made.settings["sender__port"]))
        until(lambda: listens(port), "the sender to listen")
        yield made


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(station: Station, to: str = "editor@example.org", **changes: Any) -> httpx.Response:
    asked = {"send": "spring", "topic": "campaign", "to": to, "sender": SENDER, "mail": MAIL}
    url = f"http://127.0.0.1:{station.settings['sender__port']}/seeds/mail"
    return httpx.post(url, json=asked | changes, timeout=40)


def test_a_seed_gets_a_marked_mail_that_is_in_no_book(station: Station) -> None:
    answer = ask(station)
    assert answer.status_code == 200, answer.text
    assert answer.json()["verdict"] == "accepted"
    assert answer.json()["ses_message_id"]
    [file] = list((station.home / "ses" / "mail" / "new").iterdir())
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert mail["Subject"] == "[TEST] Zürich"
    assert mail["X-Doorstep-Test"] == "yes"
    assert "Subject: not this one" in mail.get_content()  # type: ignore[attr-defined]
    [line] = [each for each in station.sandbox.journal() if each["outcome"] == "accepted"]
    assert line["tags"] == {"test": "spring"}, "no tag by which it could be a message's"
    station.feed("other", people(1))
    station.wait_for_states("other", accepted=1)
    station.wait_until_heard("other")
    assert station.rows("spring") == {}
    assert not [told for told in station.told() if "spring" in str(told.data)]
    verdict = station.audit("other")
    assert verdict["findings"] == [], "a test beside a send does not disturb its audit"


def test_only_seeds_and_only_while_they_are_named(station: Station) -> None:
    assert "ada@example.org is no seed" in ask(station, "ada@example.org").json()["error"]
    assert ask(station, "PHONE+seed@example.org").json()["verdict"] == "accepted"
    name_seeds(station, "ada@example.org")
    assert ask(station, "ada@example.org").json()["verdict"] == "accepted", "known at once"
    refused = ask(station)
    assert refused.status_code == 400
    assert "editor@example.org is no seed" in refused.json()["error"]


def test_a_suppressed_seed_is_not_mailed(station: Station) -> None:
    key = address_key("editor@example.org", SECRET)
    station.suppress(key, "everything", "unsubscribed")
    assert "may not be mailed: unsubscribed" in ask(station).json()["error"]
    station.lift(key, "everything")
    station.suppress(key, "topic:events", "unsubscribed")
    assert ask(station).json()["verdict"] == "accepted"
    assert "may not be mailed" in ask(station, topic="events").json()["error"]


def test_a_halt_stops_tests_too(station: Station) -> None:
    station.halt(halted=True)
    assert "everything is halted" in ask(station).json()["error"]
    station.halt(halted=False)
    assert ask(station).json()["verdict"] == "accepted"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mail": "no mail"}, "wanted: a whole message"),
        ({"mail": MAIL.replace("Subject: =?utf-8?b?WsO8cmljaA==?=\r\n", "")}, "0 subjects"),
        ({"to": "nobody"}, "is no e-mail address"),
        ({"send": None}, "not a test mail"),
    ],
)
def test_what_is_no_test_mail_is_refused(
    station: Station, change: dict[str, Any], said: str
) -> None:
    answer = ask(station, **change)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert station.sandbox.journal() == []


def test_what_ses_says_comes_back(station: Station) -> None:
    station.sandbox.switch(mail_from_verified=False)
    answer = ask(station).json()
    assert answer["verdict"] == "hold_send"
    assert "MailFromDomainNotVerified" in answer["reason"]
    assert "editor@example.org" not in answer["reason"]
