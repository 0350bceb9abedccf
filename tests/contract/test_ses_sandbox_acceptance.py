"""What the sandbox takes, and what is then on disk."""

from __future__ import annotations

import mailbox
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from deploy.ses_sandbox.process import SandboxProcess
from tests.contract.ses_sandbox_client import (
    RECIPIENT,
    SENDER,
    date_signatures,
    raw_message,
    refusal,
    send,
    ses_client,
)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path / "sandbox") as process:
        yield process


def test_an_accepted_raw_mail_is_a_file_under_its_message_id(sandbox: SandboxProcess) -> None:
    with ses_client(sandbox.url) as client:
        message_id = send(client, m="0a1b", c="42", configuration_set="campaign")

    (path,) = sandbox.mail_files()
    assert message_id in path.name
    assert path.suffix == ".eml"
    (mail,) = sandbox.mails()
    assert mail["Message-ID"] == f"<{message_id}@sandbox.amazonses.com>"
    assert mail["X-SES-Message-ID"] == message_id
    assert mail["X-SES-Configuration-Set"] == "campaign"
    assert mail["X-SES-Tag-m"] == "0a1b"
    assert mail["X-SES-Tag-c"] == "42"
    assert mail.get_all("X-SES-Recipient") == [RECIPIENT]
    assert mail["From"] == SENDER
    assert mail.get_payload() == "Hello Ada.\r\n"
    accepted_at = datetime.fromisoformat(mail["X-SES-Accepted-At"])
    assert parsedate_to_datetime(mail["Date"]) == accepted_at.replace(microsecond=0)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_what_was_sent_stands_unchanged_below_the_assigned_headers(
    sandbox: SandboxProcess, line_end: bytes
) -> None:
    message = raw_message(body="Line one\r\n\r\n..two\r\n  three").replace(b"\r\n", line_end)
    with ses_client(sandbox.url) as client:
        send(client, message=message)

    (path,) = sandbox.mail_files()
    assigned, accepted_at, below = path.read_bytes().partition(b"X-SES-Accepted-At: ")
    assert assigned.startswith(b"Message-ID: <")
    assert accepted_at
    assert below.split(line_end, 1)[1] == message


def test_ses_puts_its_own_date_and_id_and_takes_its_own_headers_out(
    sandbox: SandboxProcess,
) -> None:
    extra = (
        "Date: Mon, 01 Jan 2001 00:00:00 +0000\r\nMessage-ID: <mine@example.com>\r\n"
        "Bcc: eve@example.org\r\nReturn-Path: <back@example.com>\r\n"
        "X-SES-CONFIGURATION-SET: campaign\r\nX-SES-MESSAGE-TAGS: m=fromheader,\r\n c=42\r\n"
    )
    with ses_client(sandbox.url) as client:
        message_id = send(client, message=raw_message(extra=extra))

    (mail,) = sandbox.mails()
    assert mail.get_all("Message-ID") == [f"<{message_id}@sandbox.amazonses.com>"]
    assert len(mail.get_all("Date", [])) == 1
    assert "2001" not in mail["Date"]
    assert mail["Bcc"] is None
    assert mail["Return-Path"] is None
    assert mail["X-SES-MESSAGE-TAGS"] is None
    assert mail.get_all("X-SES-Configuration-Set") == ["campaign"]
    assert mail["X-SES-Tag-m"] == "fromheader"
    assert mail["X-SES-Tag-c"] == "42"


def test_tags_of_the_request_displace_those_of_the_header(sandbox: SandboxProcess) -> None:
    message = raw_message(extra="X-SES-MESSAGE-TAGS: m=fromheader, other=1\r\n")
    with ses_client(sandbox.url) as client:
        send(client, message=message, m="fromrequest")

    (mail,) = sandbox.mails()
    assert mail["X-SES-Tag-m"] == "fromrequest"
    assert mail["X-SES-Tag-other"] is None


def test_recipients_come_from_the_destination_or_else_from_the_headers(
    sandbox: SandboxProcess,
) -> None:
    message = raw_message(to=f"Ada <{RECIPIENT}>, bob@example.org", extra="Cc: c@example.org\r\n")
    with ses_client(sandbox.url) as client:
        client.send_email(Content={"Raw": {"Data": message}})
        send(client, message=message, to="only@example.org")

    from_headers, from_destination = sandbox.mails()
    assert from_headers.get_all("X-SES-Recipient") == [
        RECIPIENT,
        "bob@example.org",
        "c@example.org",
    ]
    assert from_destination.get_all("X-SES-Recipient") == ["only@example.org"]


def test_simple_content_becomes_a_mail_with_its_parts_and_headers(sandbox: SandboxProcess) -> None:
    with ses_client(sandbox.url) as client:
        client.send_email(
            FromEmailAddress=SENDER,
            Destination={"ToAddresses": [RECIPIENT], "CcAddresses": ["bob@example.org"]},
            ReplyToAddresses=["office@example.com"],
            Content={
                "Simple": {
                    "Subject": {"Data": "Frühling", "Charset": "UTF-8"},
                    "Body": {
                        "Text": {"Data": "Grüße", "Charset": "UTF-8"},
                        "Html": {"Data": "<p>Grüße</p>", "Charset": "UTF-8"},
                    },
                    "Headers": [{"Name": "List-Id", "Value": "<news.example.com>"}],
                    "Attachments": [
                        {
                            "FileName": "plan.bin",
                            "RawContent": b"\x00\x01\xff",
                            "ContentType": "application/octet-stream",
                        }
                    ],
                }
            },
        )

    (mail,) = sandbox.mails()
    assert mail["To"] == RECIPIENT
    assert mail["Reply-To"] == "office@example.com"
    assert mail["List-Id"] == "<news.example.com>"
    payloads = {
        part.get_content_type(): bytes(part.get_payload(decode=True))
        for part in mail.walk()
        if not part.is_multipart()
    }
    assert payloads["text/plain"].decode().strip() == "Grüße"
    assert payloads["text/html"].decode().strip() == "<p>Grüße</p>"
    assert payloads["application/octet-stream"] == b"\x00\x01\xff"


def test_a_mail_reader_opens_the_directory_and_marking_as_read_loses_nothing(
    sandbox: SandboxProcess,
) -> None:
    with ses_client(sandbox.url) as client:
        send(client, m="one")
    reader = mailbox.Maildir(sandbox.directory / "mail", create=False)
    ((key, mail),) = reader.items()
    assert mail["Subject"] == "Spring"
    mail.set_subdir("cur")
    mail.add_flag("S")
    reader[key] = mail
    sandbox.stop()
    sandbox.start()

    assert [mail["X-SES-Tag-m"] for mail in sandbox.mails()] == ["one"]
    assert sandbox.report()["acceptances_by_m"] == {"one": 1}


def test_the_answer_carries_the_date_of_ses_and_a_request_id(sandbox: SandboxProcess) -> None:
    sandbox.switch(clock_skew_seconds=3600, validity_seconds=7200)
    with ses_client(sandbox.url) as client:
        metadata = client.get_account()["ResponseMetadata"]

    told = parsedate_to_datetime(metadata["HTTPHeaders"]["date"])
    ahead = (told - datetime.now(told.tzinfo)).total_seconds()
    assert 3000 < ahead < 4000
    assert metadata["RequestId"]


def test_get_account_tells_quota_rate_and_what_was_sent(sandbox: SandboxProcess) -> None:
    sandbox.switch(daily_quota=50_000, max_send_rate=200, production_access=False)
    with ses_client(sandbox.url) as client:
        send(client)
        send(client)
        account = client.get_account()

    assert account["SendQuota"] == {
        "Max24HourSend": 50_000.0,
        "MaxSendRate": 200.0,
        "SentLast24Hours": 2.0,
    }
    assert account["SendingEnabled"] is True
    assert account["ProductionAccessEnabled"] is False
    assert account["EnforcementStatus"] == "HEALTHY"


def test_the_report_and_the_journal_agree_and_show_doubles(sandbox: SandboxProcess) -> None:
    with ses_client(sandbox.url) as client:
        first = send(client, m="twice")
        second = send(client, m="twice")
        send(client, m="once")
        refusal(lambda: send(client, m="never", to="nobody"))
        date_signatures(client, seconds_ago=3600)
        refusal(lambda: send(client, m="late"))

    report = sandbox.report()
    assert report["requests"] == 5
    assert report["accepted"] == 3
    assert report["refused"] == {"BadRequestException": 1, "InvalidSignatureException": 1}
    assert report["acceptances_by_m"] == {"twice": 2, "once": 1}
    assert report["doubled"] == {"twice": 2}
    lines = sandbox.journal()
    assert [(line["request"], line["outcome"], line["tags"]["m"]) for line in lines] == [
        (1, "accepted", "twice"),
        (2, "accepted", "twice"),
        (3, "accepted", "once"),
        (4, "refused", "never"),
        (5, "refused", "late"),
    ]
    assert [line["message_id"] for line in lines[:2]] == [first, second]
    assert RECIPIENT not in (sandbox.directory / "requests.jsonl").read_text()


def test_a_second_sandbox_on_the_same_directory_is_turned_away(sandbox: SandboxProcess) -> None:
    with pytest.raises(RuntimeError, match="status 1"):
        SandboxProcess(sandbox.directory).start()


def test_sigterm_ends_it_in_order(sandbox: SandboxProcess) -> None:
    with ses_client(sandbox.url) as client:
        send(client)
        assert (sandbox.directory / "port").read_text().strip() == sandbox.url.rpartition(":")[2]
        assert sandbox.stop() == 0
