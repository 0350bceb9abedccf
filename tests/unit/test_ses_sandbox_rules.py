"""The sandbox's decisions by themselves: chance, rate, quota, addresses, headers, plans."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.ses_sandbox.accepted_mail import (
    AcceptedMail,
    NotOurMail,
    accept_submission,
    new_message_id,
    read_accepted_mail,
)
from deploy.ses_sandbox.account import SendRate, SentInDay
from deploy.ses_sandbox.addresses import bare_address
from deploy.ses_sandbox.chance import draw
from deploy.ses_sandbox.command_line import read_command_line
from deploy.ses_sandbox.event_plan import plan_events
from deploy.ses_sandbox.event_queue import DueEvent
from deploy.ses_sandbox.faults import choose_fault
from deploy.ses_sandbox.mailboxes import fate_of
from deploy.ses_sandbox.message_headers import MAX_LINE, read_raw_message
from deploy.ses_sandbox.notification_envelope import notification
from deploy.ses_sandbox.refusals import Refusal
from deploy.ses_sandbox.send_email_input import SendEmailInput
from deploy.ses_sandbox.settings import Switches, switches_with
from deploy.ses_sandbox.submission import judge_submission
from deploy.ses_sandbox.timestamps import amz_date, iso_millis, read_amz_date

HEAD = b"From: a@example.com\nTo: b@example.org\n\n"


def accepted(*recipients: str, accepted_ms: int = 1_777_885_200_123, **tags: str) -> AcceptedMail:
    given_input = SendEmailInput.model_validate(
        {
            "FromEmailAddress": "News <news@example.com>",
            "Destination": {"ToAddresses": list(recipients)},
            "Content": {"Raw": {"Data": HEAD + b"Hello\n"}},
            "EmailTags": [{"Name": name, "Value": value} for name, value in tags.items()],
            "ConfigurationSetName": "campaign",
        }
    )
    return accept_submission(
        judge_submission(given_input),
        message_id=new_message_id(accepted_ms, uuid.UUID(int=accepted_ms)),
        accepted_ms=accepted_ms,
        source_ip="192.0.2.10",
    )


@given(st.lists(st.tuples(st.integers(990, 1003), st.sampled_from(["\n", "\r\n"])), max_size=6))
def test_a_line_is_too_long_exactly_when_its_text_passes_998(
    lines: list[tuple[int, str]],
) -> None:
    data = HEAD + "".join("x" * length + end for length, end in lines).encode()
    if any(length > MAX_LINE for length, _ in lines):
        with pytest.raises(Refusal, match="longer than 998"):
            read_raw_message(data)
    else:
        assert read_raw_message(data).content == data


@given(st.text(alphabet="ab \r\n", max_size=4000))
def test_short_lines_in_any_arrangement_are_never_called_long(text: str) -> None:
    body = "\n".join(line[:MAX_LINE] for line in text.split("\n"))
    data = HEAD + body.encode()
    assert read_raw_message(data).content == data


def test_headers_are_unfolded_and_looked_up_without_regard_to_case() -> None:
    message = read_raw_message(b"FROM: a@example.com\r\nX-Long: one\r\n  two\r\n\r\nBody")
    assert message.headers == (("FROM", "a@example.com"), ("X-Long", "one  two"))
    assert message.values("from") == ["a@example.com"]
    assert message.line_end == b"\r\n"


def test_a_blank_line_of_the_body_is_not_taken_for_the_end_of_the_headers() -> None:
    message = read_raw_message(b"From: a@example.com\n\nBody\r\n\r\nSubject: not a header\r\n")
    assert message.headers == (("From", "a@example.com"),)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("ada@example.org", "ada@example.org"),
        ("Ada <ada+news@example.org>", "ada+news@example.org"),
        ('"Lovelace, Ada" <ada@example.org>', "ada@example.org"),
        ("=?utf-8?q?Ad=C3=A4?= <ada@example.org>", "ada@example.org"),
        ("<ada@xn--exmple-cua.org>", "ada@xn--exmple-cua.org"),
        ("o'hara@mail.example.co.uk", "o'hara@mail.example.co.uk"),
    ],
)
def test_an_address_is_found_inside_its_written_form(written: str, address: str) -> None:
    assert bare_address(written, "field") == address


@pytest.mark.parametrize(
    "written",
    [
        *("", "ada", "@example.org", "ada@", "ada@example", "a b@example.org", "ada@-x.org"),
        *(f"{'x' * 65}@example.org", "Lovelace, Ada <ada@example.org>", "ada@example.org\r\nX: y"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(written: str) -> None:
    with pytest.raises(Refusal) as refused:
        bare_address(written, "Destination")
    assert refused.value.name == "BadRequestException"
    assert "Destination" in str(refused.value)
    assert "example" not in str(refused.value.message)


@given(st.text(), st.integers())
def test_a_draw_is_a_fixed_number_below_one(seed: str, number: int) -> None:
    drawn = draw(seed, "fault", number)
    assert 0 <= drawn < 1
    assert draw(seed, "fault", number) == drawn


def test_faults_come_in_their_shares() -> None:
    shares: Switches = switches_with(
        Switches(), {"faults": {"hang_before": 0.1, "error_500_after": 0.3}}
    )
    names = Counter(
        fault.name if (fault := choose_fault("seed", number, shares.faults)) else None
        for number in range(10_000)
    )
    assert 850 < names["hang_before"] < 1150
    assert 2750 < names["error_500_after"] < 3250
    assert sum(names.values()) - names[None] == names["hang_before"] + names["error_500_after"]


def test_shares_that_fill_everything_leave_no_request_sound() -> None:
    shares = switches_with(Switches(), {"faults": {"reset_before": 0.5, "reset_after": 0.5}})
    assert all(choose_fault("s", number, shares.faults) for number in range(2000))


def test_the_bucket_gives_a_second_of_rate_at_once_and_then_the_rate() -> None:
    rate = SendRate()
    assert [rate.take(1, 100.0, 3) for _ in range(4)] == [True, True, True, False]
    assert not rate.take(1, 100.3, 3)
    assert rate.take(1, 100.4, 3)
    assert [rate.take(1, 500.0, 3) for _ in range(4)] == [True, True, True, False]


def test_a_call_of_many_recipients_goes_into_debt_that_must_be_repaid() -> None:
    rate = SendRate()
    assert rate.take(50, 0.0, 10)
    assert not rate.take(1, 4.0, 10)
    assert rate.take(1, 4.2, 10)


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=200), st.floats(1, 50))
def test_never_more_than_rate_times_time_and_one_bucket(
    pauses: list[float], per_second: float
) -> None:
    rate, now, taken = SendRate(), 0.0, 0
    for pause in pauses:
        now += pause
        taken += rate.take(1, now, per_second)
    assert taken <= per_second * now + max(per_second, 1) + 1e-6


def test_what_was_sent_a_day_ago_counts_no_more() -> None:
    sent = SentInDay([(0, 5), (1, 7)])
    assert sent.total(60.0) == 12
    assert sent.total(86_400.0) == 7
    sent.add(2, 86_400.0)
    sent.add(1, 86_401.0)
    assert sent.total(86_459.0) == 10
    assert sent.total(86_460.0) == 3


@pytest.mark.parametrize(
    ("address", "fate"),
    [
        ("bounce@example.org", "hard_bounce"),
        ("Bounce-7@example.org", "hard_bounce"),
        ("softbounce@example.org", "soft_bounce"),
        ("complaint1@example.org", "complaint"),
        ("suppressionlist@example.org", "suppressed"),
        ("ada+complaint@example.org", "complaint"),
        ("ada+softbounce.2@example.org", "soft_bounce"),
        ("ada@bounce.example.org", "delivered"),
        ("rebounce@example.org", "delivered"),
    ],
)
def test_the_local_part_or_its_label_names_the_fate(address: str, fate: str) -> None:
    assert fate_of(address, seed="s", bounce_rate=0, complaint_rate=0) == fate


def test_fates_by_share_depend_on_the_address_alone() -> None:
    addresses = [f"p{number}@example.org" for number in range(4000)]
    fates = [fate_of(one, seed="s", bounce_rate=0.1, complaint_rate=0.05) for one in addresses]
    counts = Counter(fates)
    assert 330 < counts["hard_bounce"] < 470
    assert 140 < counts["complaint"] < 260
    upper = [one.upper() for one in addresses]
    assert [fate_of(one, seed="s", bounce_rate=0.1, complaint_rate=0.05) for one in upper] == fates


def test_a_kept_mail_tells_everything_its_events_need() -> None:
    mail = accepted("ada@example.org", "bob@example.org", m="a1", Campaign="42")
    assert read_accepted_mail(mail.file) == mail


@pytest.mark.parametrize("cut", [0, 40, 200])
def test_a_file_without_the_assigned_headers_is_not_ours(cut: int) -> None:
    with pytest.raises(NotOurMail):
        read_accepted_mail(accepted("ada@example.org").file[:cut])


def test_a_plan_made_again_is_the_same_plan() -> None:
    switches = switches_with(Switches(), {"duplicate_rate": 0.5, "out_of_order_rate": 0.5})
    for number in range(50):
        mail = accepted("complaint@example.org", accepted_ms=1_777_885_200_000 + number)
        assert plan_events(read_accepted_mail(mail.file), switches) == plan_events(mail, switches)


@pytest.mark.parametrize(("waited_ms", "stamped_ms"), [(60_000, 0), (3_600_000, 3_600_000)])
def test_a_notification_keeps_its_time_unless_receivers_would_call_it_stale(
    waited_ms: int, stamped_ms: int
) -> None:
    mail = accepted("ada@example.org")
    send_event = plan_events(mail, Switches())[0]
    due = DueEvent(1, send_event, 0, mail.accepted_ms, '{"tags":{}}')
    envelope = notification(
        due,
        topic_arn="arn:aws:sns:eu-west-2:000000000000:events",
        certificate_name="SimpleNotificationService-0.pem",
        version="2",
        now_ms=mail.accepted_ms + waited_ms,
    )
    assert envelope["Timestamp"] == iso_millis(mail.accepted_ms + stamped_ms)


def test_events_are_due_after_their_delays() -> None:
    delays = {"send_delay_ms": 5, "delivery_delay_ms": 50, "complaint_delay_ms": 500}
    mail = accepted("complaint@example.org")
    planned = plan_events(mail, switches_with(Switches(), delays))
    assert [(one.event_type, one.due_ms - mail.accepted_ms) for one in planned] == [
        ("Send", 5),
        ("Delivery", 50),
        ("Complaint", 500),
    ]


@given(st.integers(0, 4_000_000_000))
def test_the_date_of_a_signature_is_read_as_it_is_written(second: int) -> None:
    assert read_amz_date(amz_date(second)) == second


def test_instants_are_written_with_milliseconds_and_z() -> None:
    assert iso_millis(1_777_885_200_007) == "2026-05-04T09:00:00.007Z"


def test_the_command_line_sets_every_kind_of_switch(tmp_path: Path) -> None:
    options = (
        f"--directory {tmp_path} --port 8025 --fsync --latency-ms 12.5 --sending-paused"
        " --no-mail-from-verified --fault hang_before=0.1 --fault reset_after=0.2"
        " --verified-identities a.example.com,b.example.com --signature-version 1"
    )
    settings, switches = read_command_line(options.split())
    assert (settings.directory, settings.port, settings.fsync) == (tmp_path, 8025, True)
    assert switches.latency_ms == 12.5
    assert switches.sending_paused
    assert not switches.mail_from_verified
    assert switches.faults == {"hang_before": 0.1, "reset_after": 0.2}
    assert switches.verified_identities == ("a.example.com", "b.example.com")
    assert switches.signature_version == "1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--fault hang=0.1", "Known faults"),
        ("--fault hang_before=2", "faults.hang_before"),
        ("--latency-ms soon", "latency_ms"),
        ("--topic-arn events", "not a topic ARN"),
    ],
)
def test_a_wrong_option_ends_with_one_clear_line(
    options: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_command_line(["--directory", str(tmp_path), *options.split()])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
