"""What the sender makes of every answer of SES, and of none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.ses_sandbox.process import SandboxProcess
from tests.integration.sender.audience import entry, mail_to, people
from tests.integration.sender.processes import ServiceProcess, until
from tests.integration.sender.station import WINDOW, Body, Station

PEOPLE = 6
KINDS = ("error_500", "error_503", "hang", "reset", "close")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("answers"), body=body) as running:
        yield running


@pytest.fixture(scope="module")
def sender(station: Station) -> ServiceProcess:
    return station.start_sender()


@pytest.fixture
def sandbox(station: Station) -> Iterator[SandboxProcess]:
    """SES as it should be, again after each test."""
    before = station.sandbox.switch()
    yield station.sandbox
    station.sandbox.switch(**before)


def asked(station: Station, send: str) -> list[dict[str, object]]:
    """The requests that SES saw of a send."""
    return [line for line in station.sandbox.journal() if line["tags"].get("s") == send]


def attempts(station: Station, send: str) -> set[int]:
    return {int(row["attempt"]) for row in station.rows(send).values()}


@pytest.mark.parametrize("kind", KINDS)
def test_silence_or_an_error_before_acceptance_is_doubt_and_stays_unconfirmed(
    station: Station, sender: ServiceProcess, sandbox: SandboxProcess, kind: str
) -> None:
    send = f"{kind}-before"
    sandbox.switch(faults={f"{kind}_before": 1.0})
    station.feed(send, people(PEOPLE, send))

    station.wait_for_states(send, unconfirmed=PEOPLE)

    assert station.mailed(send).total() == 0
    assert len(asked(station, send)) == PEOPLE, "SES was asked once for each"
    assert {event.settled for event in station.events(send, "unconfirmed")} >= {False}
    assert station.audit(send, kills=0)["balanced"]


@pytest.mark.parametrize("kind", KINDS)
def test_silence_or_an_error_after_acceptance_is_lifted_by_the_event(
    station: Station, sender: ServiceProcess, sandbox: SandboxProcess, kind: str
) -> None:
    send = f"{kind}-after"
    sandbox.switch(faults={f"{kind}_after": 1.0})
    station.feed(send, people(PEOPLE, send))

    station.wait_for_states(send, accepted=PEOPLE)

    assert len(asked(station, send)) == PEOPLE
    assert all(row["ses_message_id"] for row in station.rows(send).values())
    assert all(row["reason"] is None for row in station.rows(send).values())
    assert station.audit(send)["balanced"]


def test_too_fast_is_tried_again_more_slowly_and_costs_no_attempt(
    station: Station, sender: ServiceProcess, sandbox: SandboxProcess
) -> None:
    sandbox.switch(faults={"throttle_429": 1.0})
    station.feed("throttled", people(PEOPLE))
    until(lambda: len(asked(station, "throttled")) > PEOPLE, "SES to say no more than once each")
    assert not {"accepted", "in doubt"} & station.states("throttled").keys()

    sandbox.switch(faults={})

    station.wait_for_states("throttled", accepted=PEOPLE)
    assert attempts(station, "throttled") == {1}
    assert station.audit("throttled")["balanced"]


@pytest.mark.parametrize(
    ("name", "trouble", "sound"),
    [
        ("sending_paused", True, False),
        ("account_suspended", True, False),
        ("daily_quota", 0, -1),
    ],
)
def test_an_account_that_cannot_send_holds_everything_and_fails_nobody(
    station: Station, sandbox: SandboxProcess, name: str, trouble: object, sound: object
) -> None:
    # The hold lasts a minute: this sender is killed rather than waited for.
    with station.beside(name) as here:
        held = here.start_sender().wait_for_line("loop.ownership")
        here.feed("before", people(1))
        here.wait_for_states("before", accepted=1)  # the account was found sound
        here.sandbox.switch(**{name: trouble})
        here.feed(name, people(PEOPLE))
        held.wait_for_line("sender.hold_all")
        here.wait_for_states(name, ready=PEOPLE)
        assert 0 < len(asked(here, name)) <= WINDOW, "one refusal is enough"
        assert held.kill() == -9

        here.sandbox.switch(**{name: sound})
        here.start_sender()

        here.wait_for_states(name, accepted=PEOPLE)
        assert attempts(here, name) == {1}
        assert here.audit(name, kills=1)["balanced"]


def test_requests_with_a_wrong_clock_hold_everything_until_it_is_right(
    station: Station, sender: ServiceProcess, sandbox: SandboxProcess
) -> None:
    sandbox.switch(clock_skew_seconds=3_600)
    station.feed("skewed", people(PEOPLE))
    sender.wait_for_line("SES refuses our requests")
    station.wait_for_states("skewed", ready=PEOPLE)

    sandbox.switch(clock_skew_seconds=0)

    station.wait_for_states("skewed", accepted=PEOPLE)
    assert station.audit("skewed")["balanced"]


@pytest.mark.parametrize(
    ("send", "switch", "fields"),
    [
        (
            "unverified-domain",
            {"verified_identities": ["mail.example.com"]},
            {"sender": "Other <a@other.example>"},
        ),
        ("mail-from", {"mail_from_verified": False}, {}),
        ("no-configuration-set", {"configuration_sets": ["another"]}, {}),
    ],
)
def test_what_would_meet_every_message_of_a_send_holds_that_send_until_it_is_resumed(
    station: Station,
    sender: ServiceProcess,
    sandbox: SandboxProcess,
    send: str,
    switch: dict[str, object],
    fields: dict[str, str],
) -> None:
    before = sandbox.switch()
    sandbox.switch(**switch)
    station.feed(send, people(PEOPLE, send), **fields)
    sender.wait_for_line(f'"action": "sender.hold_send", "send": "{send}"')
    station.wait_for_states(send, ready=PEOPLE)

    sandbox.switch(**before)
    station.feed(f"{send}-other", people(PEOPLE, "other"))
    station.wait_for_states(f"{send}-other", accepted=PEOPLE)
    assert station.states(send) == {"ready": PEOPLE}, "nobody has resumed it"

    station.order(send, paused=False)

    station.wait_for_states(send, accepted=PEOPLE)
    assert station.audit(send)["balanced"]


def test_a_message_that_ses_refuses_fails_alone_with_its_words(
    station: Station, sender: ServiceProcess
) -> None:
    sound, wrong = people(2, "refused")
    twice = mail_to(wrong).replace("Subject: Spring\r\n", "Subject: a\r\nSubject: b\r\n")
    station.feed_entries([entry("refused", sound), entry("refused", wrong, mail=twice)])

    station.wait_for_states("refused", accepted=1, failed=1)

    assert "Duplicate header" in station.rows("refused")[wrong.message_of("refused")]["reason"]
    assert station.audit("refused")["balanced"]


def test_what_cannot_be_sent_at_all_fails_at_intake(
    station: Station, sender: ServiceProcess
) -> None:
    sound, refused, empty, strange = people(4, "intake")
    station.feed_entries(
        [
            entry("intake", sound),
            entry("intake", refused, mail=None, refusal="area.venue is missing"),
            entry("intake", empty, mail=""),
            entry("intake", strange, mail=mail_to(strange, "Grüße")),
        ]
    )

    station.wait_for_states("intake", accepted=1, failed=3)

    rows = station.rows("intake")
    reasons = [rows[each.message_of("intake")]["reason"] for each in (refused, empty, strange)]
    assert reasons == [
        "area.venue is missing", "rendered to nothing", "the rendered mail is not ASCII",
    ]  # fmt: skip
    assert len(asked(station, "intake")) == 1
    assert station.audit("intake")["balanced"]


def test_batches_that_were_not_compressed_are_sent_as_well(
    station: Station, sender: ServiceProcess
) -> None:
    entries = [entry("plain", person) for person in people(PEOPLE, "plain")]
    station.feed_entries(entries, compress=False)

    station.wait_for_states("plain", accepted=PEOPLE)
    assert station.audit("plain")["balanced"]


def test_a_batch_that_is_told_twice_is_sent_once(station: Station, sender: ServiceProcess) -> None:
    entries = [entry("twice", person) for person in people(PEOPLE, "twice")]
    station.feed_entries(entries)
    station.feed_entries(entries)
    station.feed_entries([*entries[:2], *(entry("twice", p) for p in people(2, "more"))])

    station.wait_for_states("twice", accepted=PEOPLE + 2)
    assert station.audit("twice")["balanced"]


def test_nothing_is_in_doubt_while_ses_cannot_be_reached(
    station: Station, sender: ServiceProcess
) -> None:
    assert station.sandbox.stop() == 0
    station.feed("unreachable", people(PEOPLE, "unreachable"))
    until(lambda: station.states("unreachable")["ready"] == PEOPLE, "intake")
    station.wait_for_states("unreachable", ready=PEOPLE)

    station.sandbox.start()

    station.wait_for_states("unreachable", accepted=PEOPLE)
    assert attempts(station, "unreachable") == {1}
    assert station.audit("unreachable")["balanced"]
