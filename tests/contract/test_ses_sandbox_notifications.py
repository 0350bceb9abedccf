"""The events of an accepted mail, as signed SNS notifications at an HTTP endpoint."""

from __future__ import annotations

import base64
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from deploy.ses_sandbox.process import SandboxProcess
from tests.contract.ses_sandbox_client import (
    RECIPIENT,
    SENDER,
    raw_message,
    send,
    ses_client,
    wait_until,
)
from tests.contract.sns_receiver import Notification, SnsReceiver

TOPIC = "arn:aws:sns:eu-west-2:000000000000:doorstep-ses-events"
EVENT_KEYS = {"Send": "send", "Delivery": "delivery", "Bounce": "bounce", "Complaint": "complaint"}


@pytest.fixture
def receiver() -> Iterator[SnsReceiver]:
    with SnsReceiver() as running:
        yield running


@pytest.fixture
def sandbox(tmp_path: Path, receiver: SnsReceiver) -> Iterator[SandboxProcess]:
    with SandboxProcess(
        tmp_path / "sandbox",
        *("--sns-endpoint", receiver.url, "--delivery-delay-ms", "5"),
        *("--bounce-delay-ms", "5", "--complaint-delay-ms", "10"),
    ) as process:
        yield process


def verify(envelope: dict[str, str], certificate: Path) -> None:
    """The receiver's half of SNS's signature rule, written without the sandbox's code."""
    text = "".join(
        f"{key}\n{envelope[key]}\n"
        for key in ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    )
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}[envelope["SignatureVersion"]]
    signature = base64.b64decode(envelope["Signature"], validate=True)
    public.verify(signature, text.encode(), padding.PKCS1v15(), algorithm)


def events(taken: list[Notification], message_id: str) -> dict[str, Notification]:
    return {
        one.event["eventType"]: one for one in taken if one.event["mail"]["messageId"] == message_id
    }


def all_posted(sandbox: SandboxProcess) -> bool:
    return not any(event["waiting"] for event in sandbox.report()["events"].values())


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_signature_verifies_and_a_changed_message_does_not(
    sandbox: SandboxProcess, receiver: SnsReceiver, version: str
) -> None:
    sandbox.switch(signature_version=version)
    with ses_client(sandbox.url) as client:
        send(client, configuration_set="campaign", m="a1")
    envelope = receiver.wait_for(lambda taken: len(taken) == 2)[0].envelope

    assert envelope["SignatureVersion"] == version
    verify(envelope, sandbox.certificate_path)
    for key in ("Message", "Timestamp", "MessageId", "TopicArn"):
        with pytest.raises(InvalidSignature):
            verify({**envelope, key: envelope[key] + " "}, sandbox.certificate_path)
    other = {"1": "2", "2": "1"}[version]
    with pytest.raises(InvalidSignature):
        verify({**envelope, "SignatureVersion": other}, sandbox.certificate_path)


def test_the_envelope_and_its_headers_are_those_of_sns(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    with ses_client(sandbox.url) as client:
        send(client, configuration_set="campaign", m="a1")
    taken = receiver.wait_for(lambda taken: len(taken) == 2)

    assert len({one.envelope["MessageId"] for one in taken}) == 2
    for one in taken:
        assert one.headers["content-type"] == "text/plain; charset=UTF-8"
        assert one.headers["x-amz-sns-message-type"] == "Notification"
        assert one.headers["x-amz-sns-message-id"] == one.envelope["MessageId"]
        assert one.headers["x-amz-sns-topic-arn"] == one.envelope["TopicArn"] == TOPIC
        assert one.headers["x-amz-sns-subscription-arn"].startswith(f"{TOPIC}:")
        assert one.envelope["Type"] == "Notification"
        assert one.envelope["Message"].endswith("}\n")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one.envelope["Timestamp"])
        name = re.fullmatch(
            r"https://sns\.eu-west-2\.amazonaws\.com/(SimpleNotificationService-[0-9a-f]{32}\.pem)",
            one.envelope["SigningCertURL"],
        )
        assert name is not None
        assert (sandbox.directory / "certificates" / name[1]) == sandbox.certificate_path


def test_an_accepted_mail_is_followed_by_send_and_delivery(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    message = raw_message(extra="List-Unsubscribe: <https://u.example.com/o/T0K3N>\r\n")
    with ses_client(sandbox.url) as client:
        message_id = send(client, message=message, configuration_set="campaign", m="a1", c="42")
    found = events(receiver.wait_for(lambda taken: len(taken) == 2), message_id)

    assert set(found) == {"Send", "Delivery"}
    sent = found["Send"].event
    assert set(sent) == {"eventType", "mail", "send"}
    assert sent["send"] == {}
    mail = sent["mail"]
    assert set(mail) == {
        *("timestamp", "source", "sourceArn", "sendingAccountId", "messageId", "destination"),
        *("headersTruncated", "headers", "commonHeaders", "tags"),
    }
    assert mail["source"] == SENDER
    assert mail["sourceArn"] == "arn:aws:ses:eu-west-2:000000000000:identity/mail.example.com"
    assert mail["destination"] == [RECIPIENT]
    assert mail["headersTruncated"] is False
    assert {
        "name": "List-Unsubscribe",
        "value": "<https://u.example.com/o/T0K3N>",
    } in mail["headers"]
    assert mail["commonHeaders"] == {
        "from": [SENDER],
        "to": [RECIPIENT],
        "messageId": message_id,
        "subject": "Spring",
    }
    assert mail["tags"]["m"] == ["a1"]
    assert mail["tags"]["c"] == ["42"]
    assert mail["tags"]["ses:configuration-set"] == ["campaign"]
    assert mail["tags"]["ses:from-domain"] == ["mail.example.com"]
    assert all(isinstance(values, list) for values in mail["tags"].values())

    delivered = found["Delivery"].event
    assert delivered["mail"]["tags"].pop("ses:outgoing-ip")
    assert delivered["mail"] == mail
    assert delivered["delivery"]["recipients"] == [RECIPIENT]
    assert delivered["delivery"]["processingTimeMillis"] == 5
    assert set(delivered["delivery"]) == {
        *("timestamp", "processingTimeMillis", "recipients", "smtpResponse", "reportingMTA"),
    }


@pytest.mark.parametrize(
    ("address", "kinds", "sub_type"),
    [
        ("bounce@example.org", {"Send", "Bounce"}, ("Permanent", "General")),
        ("ada+bounce-1@example.org", {"Send", "Bounce"}, ("Permanent", "General")),
        ("softbounce@example.org", {"Send", "Bounce"}, ("Transient", "MailboxFull")),
        (
            "suppressionlist@example.org",
            {"Send", "Bounce"},
            ("Permanent", "OnAccountSuppressionList"),
        ),
        ("complaint@example.org", {"Send", "Delivery", "Complaint"}, None),
    ],
)
def test_the_address_decides_what_becomes_of_the_mail(
    sandbox: SandboxProcess,
    receiver: SnsReceiver,
    address: str,
    kinds: set[str],
    sub_type: tuple[str, str] | None,
) -> None:
    with ses_client(sandbox.url) as client:
        message_id = send(client, to=address, configuration_set="campaign")
    found = events(receiver.wait_for(lambda taken: len(taken) >= len(kinds)), message_id)

    assert set(found) == kinds
    if sub_type is None:
        complaint = found["Complaint"].event["complaint"]
        assert complaint["complainedRecipients"] == [{"emailAddress": address}]
        assert complaint["complaintFeedbackType"] == "abuse"
        assert complaint["feedbackId"]
        return
    bounce = found["Bounce"].event["bounce"]
    assert (bounce["bounceType"], bounce["bounceSubType"]) == sub_type
    (recipient,) = bounce["bouncedRecipients"]
    assert recipient["emailAddress"] == address
    assert ("diagnosticCode" in recipient) == (sub_type[0] == "Permanent")
    assert bounce["feedbackId"]


def test_one_mail_to_several_mailboxes_groups_them_by_fate(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    to = ["a@example.org", "bounce@example.org", "b@example.org", "bounce2@example.org"]
    with ses_client(sandbox.url) as client:
        message_id = client.send_email(
            FromEmailAddress=SENDER,
            Destination={"ToAddresses": to},
            Content={"Raw": {"Data": raw_message()}},
            ConfigurationSetName="campaign",
        )["MessageId"]
    found = events(receiver.wait_for(lambda taken: len(taken) == 3), message_id)

    assert found["Send"].event["mail"]["destination"] == to
    assert found["Delivery"].event["delivery"]["recipients"] == ["a@example.org", "b@example.org"]
    bounced = found["Bounce"].event["bounce"]["bouncedRecipients"]
    assert [one["emailAddress"] for one in bounced] == ["bounce@example.org", "bounce2@example.org"]


def test_without_a_configuration_set_there_are_no_events(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    with ses_client(sandbox.url) as client:
        send(client, m="silent")
        send(client, m="spoken", configuration_set="campaign")
    taken = receiver.wait_for(lambda taken: len(taken) == 2)

    assert {one.event["mail"]["tags"]["m"][0] for one in taken} == {"spoken"}
    wait_until(lambda: all_posted(sandbox), "the posts are written back")
    assert sandbox.report()["events"] == {
        "Send": {"posted": 1, "waiting": 0},
        "Delivery": {"posted": 1, "waiting": 0},
    }


def test_a_share_of_addresses_bounces_and_always_the_same(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    sandbox.switch(bounce_rate=0.4, complaint_rate=0.2)
    addresses = [f"person{number}@example.org" for number in range(40)]

    def fates() -> dict[str, str]:
        already = len(receiver.taken())
        with ses_client(sandbox.url) as client:
            for address in addresses:
                send(client, to=address, configuration_set="campaign")
        wait_until(lambda: all_posted(sandbox), "all events are posted")
        found: dict[str, set[str]] = {}
        for one in receiver.taken()[already:]:
            address = one.event["mail"]["destination"][0]
            found.setdefault(address, set()).add(one.event["eventType"])
        assert all("Send" in kinds for kinds in found.values())
        return {address: min(kinds) for address, kinds in found.items()}

    first = fates()
    assert set(first) == set(addresses)
    assert set(first.values()) == {"Delivery", "Bounce", "Complaint"}
    assert fates() == first


def test_a_failing_endpoint_gets_every_event_once_it_answers_again(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    receiver.answer = 503
    with ses_client(sandbox.url) as client:
        ids = {send(client, configuration_set="campaign") for _ in range(5)}
    receiver.wait_for_refusals(3)
    receiver.answer = 204
    taken = receiver.wait_for(lambda taken: len(taken) == 10)

    posted = Counter((one.event["mail"]["messageId"], one.event["eventType"]) for one in taken)
    assert posted == {(one, kind): 1 for one in ids for kind in ("Send", "Delivery")}
    for one in taken:
        verify(one.envelope, sandbox.certificate_path)


def test_events_wait_for_an_endpoint_that_is_not_there_yet(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "sandbox", "--delivery-delay-ms", "0") as sandbox:
        with ses_client(sandbox.url) as client:
            send(client, configuration_set="campaign")
        with SnsReceiver() as receiver:
            sandbox.switch(sns_endpoint=receiver.url)
            receiver.wait_for(lambda taken: len(taken) == 2)


def test_held_events_come_when_they_are_let_go(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    sandbox.switch(events_held=True)
    with ses_client(sandbox.url) as client:
        send(client, configuration_set="campaign")
    assert sandbox.report()["events"]["Send"] == {"posted": 0, "waiting": 1}
    sandbox.switch(events_held=False)
    receiver.wait_for(lambda taken: len(taken) == 2)


def test_dropped_events_never_come(sandbox: SandboxProcess, receiver: SnsReceiver) -> None:
    sandbox.switch(events_dropped=True)
    with ses_client(sandbox.url) as client:
        send(client, configuration_set="campaign")
        deadline = time.monotonic() + 20
        while sandbox.report()["events"]["Send"]["waiting"]:
            assert time.monotonic() < deadline, "it stays in the queue"
            time.sleep(0.05)
        sandbox.switch(events_dropped=False)
        send(client, configuration_set="campaign")
    receiver.wait_for(lambda taken: len(taken) == 2)


def test_doubled_events_repeat_the_event_under_the_same_or_another_sns_id(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    sandbox.switch(duplicate_rate=1)
    with ses_client(sandbox.url) as client:
        for _ in range(10):
            send(client, to="bounce@example.org", configuration_set="campaign")
    taken = receiver.wait_for(lambda taken: len(taken) == 40)

    told = Counter(one.envelope["Message"] for one in taken)
    assert set(told.values()) == {2}
    ids_per_event = Counter(
        message for message, _ in {(o.envelope["Message"], o.envelope["MessageId"]) for o in taken}
    )
    assert set(ids_per_event.values()) == {1, 2}


def test_overtaken_events_arrive_after_later_ones(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    sandbox.switch(out_of_order_rate=0.5, out_of_order_ms=300)
    with ses_client(sandbox.url) as client:
        ids = [send(client, configuration_set="campaign") for _ in range(20)]
    taken = receiver.wait_for(lambda taken: len(taken) == 40)

    arrived = [(one.event["mail"]["messageId"], one.event["eventType"]) for one in taken]
    overtaken = [
        one for one in ids if arrived.index((one, "Delivery")) < arrived.index((one, "Send"))
    ]
    assert overtaken
    assert len(overtaken) < len(ids)
