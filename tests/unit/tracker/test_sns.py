"""Whether a message is from SNS and from our topic."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.sns import NotSns, Untrusted, check_claims, check_signature, read_message
from tests.unit.tracker.building import NOW
from tests.unit.tracker.sns_signing import CERTIFICATE_URL, SUBSCRIBE_URL, TOPIC, Signer, signer

OLDEST = timedelta(minutes=65)
OURS = signer(days=3650)


def check(body: bytes, by: Signer = OURS) -> None:
    message = read_message(body)
    check_claims(message, {TOPIC}, NOW, OLDEST)
    check_signature(message, by.pem, NOW)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [None, "Amazon SES Email Event Notification"])
def test_a_signed_notification_is_believed(version: str, subject: str | None) -> None:
    check(OURS.body('{"é": "\\n"}\n', NOW, SignatureVersion=version, Subject=subject))


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_signed_confirmation_is_believed(kind: str, version: str) -> None:
    check(OURS.confirmation(kind, NOW, SignatureVersion=version))


@given(st.data())
def test_whatever_signed_is_altered_the_signature_fits_no_more(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["Notification", "SubscriptionConfirmation"]))
    body = (
        OURS.body("{}", NOW, Subject="About")
        if kind == "Notification"
        else OURS.confirmation(kind, NOW)
    )
    fields = json.loads(body)
    signed = {"Message", "MessageId", "Subject", "Token"} & fields.keys()
    name = data.draw(st.sampled_from(sorted(signed)))
    fields[name] += data.draw(st.text(min_size=1))
    with pytest.raises(Untrusted, match="does not fit"):
        check(json.dumps(fields).encode())


def test_another_key_does_not_fit() -> None:
    with pytest.raises(Untrusted, match="does not fit"):
        check(signer("theirs", days=3650).body("{}", NOW))


def test_a_signature_of_one_version_does_not_pass_as_the_other() -> None:
    fields = json.loads(OURS.body("{}", NOW, SignatureVersion="2"))
    fields["SignatureVersion"] = "1"
    with pytest.raises(Untrusted, match="does not fit"):
        check(json.dumps(fields).encode())


def test_a_signature_without_the_subject_does_not_cover_one_put_in() -> None:
    fields = json.loads(OURS.body("{}", NOW))
    fields["Subject"] = "About"
    with pytest.raises(Untrusted, match="does not fit"):
        check(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://sns.eu-west-2.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://sns.eu-west-2.amazonaws.com.evil.example/SimpleNotificationService-0a.pem",
        "https://evil.example/SimpleNotificationService-0a.pem",
        "https://evil.example/https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://bucket.s3.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://x@sns.eu-west-2.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://sns.eu-west-2.amazonaws.com:444/SimpleNotificationService-0a.pem",
        "https://sns.eu-west-2.amazonaws.com/../SimpleNotificationService-0a.pem",
        "https://sns.eu-west-2.amazonaws.com/x/SimpleNotificationService-0a.pem",
        "https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-0a.pem?x",
        "https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-0a.pem\n",
        "https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-../../x.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://SNS.eu-west-2.amazonaws.com/SimpleNotificationService-0a.pem",
    ],
)
def test_a_certificate_from_anywhere_else_is_never_asked_for(url: str) -> None:
    with pytest.raises(Untrusted, match="certificate"):
        check(OURS.body("{}", NOW, SigningCertURL=url))


def test_another_topic_is_refused_however_well_signed() -> None:
    with pytest.raises(Untrusted, match="topic"):
        check(OURS.body("{}", NOW, TopicArn=TOPIC + "-2"))


@pytest.mark.parametrize("version", ["", "0", "3", "2 "])
def test_an_unknown_version_is_refused(version: str) -> None:
    with pytest.raises(Untrusted, match="version"):
        check(OURS.body("{}", NOW, SignatureVersion=version))


@pytest.mark.parametrize("late", [timedelta(minutes=66), -timedelta(minutes=6)])
def test_what_is_too_old_or_from_the_future_is_refused(late: timedelta) -> None:
    check(OURS.body("{}", NOW - timedelta(minutes=60)))
    with pytest.raises(Untrusted, match="old"):
        check(OURS.body("{}", NOW - late))


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?Action=ConfirmSubscription&Token=1",
        SUBSCRIBE_URL.replace("https", "http"),
        SUBSCRIBE_URL.replace("/?", "/x?"),
        SUBSCRIBE_URL.replace("ConfirmSubscription", "DeleteTopic"),
        SUBSCRIBE_URL + " x",
        CERTIFICATE_URL,
    ],
)
def test_a_subscription_is_confirmed_nowhere_else(url: str) -> None:
    with pytest.raises(Untrusted, match="confirm"):
        check(OURS.confirmation("SubscriptionConfirmation", NOW, SubscribeURL=url))


def test_an_expired_certificate_is_refused() -> None:
    expired = signer("expired", valid_from=NOW - timedelta(days=10), days=5)
    with pytest.raises(Untrusted, match="not valid now"):
        check(expired.body("{}", NOW), expired)


@pytest.mark.parametrize("pem", [b"", b"<html>", OURS.pem[:200]])
def test_what_is_no_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(Untrusted, match="cannot be read"):
        check_signature(read_message(OURS.body("{}", NOW)), pem, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000,
        b'{"eventType": "Send", "mail": {}}',
        b'{"Type": "Notification"}',
        b'{"Type": 7, "Message": "x"}',
    ],
)  # fmt: skip
def test_what_is_not_of_sns_is_said_to_be_so(body: bytes) -> None:
    with pytest.raises(NotSns):
        read_message(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [("Timestamp", "soon"), ("Signature", "!"), ("Signature", "A" * 9000), ("MessageId", None)],
)
def test_a_field_that_cannot_be_one_is_said_to_be_so(field: str, value: object) -> None:
    fields = {**json.loads(OURS.body("{}", NOW)), field: value}
    with pytest.raises(NotSns):
        read_message(json.dumps(fields).encode())


@given(st.dictionaries(st.text(max_size=12), st.none() | st.text() | st.integers()))
def test_any_json_is_refused_in_words(fields: dict[str, object]) -> None:
    with pytest.raises((NotSns, Untrusted)):
        check(json.dumps({"Type": "Notification", **fields}).encode())
