"""`POST /sns`, over the wire, signed as SNS signs and as the sandbox signs."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.ses_sandbox.signing import canonical_text, load_key, prepare_identity, sign
from shared.ids import address_key
from tests.integration.tracker.running import RunningTracker, eventually, tracker_home
from tests.unit.tracker.building import ADA, SECRET, message_of
from tests.unit.tracker.ses_fixtures import ADDRESS, FIXTURES, VARIANTS, text
from tests.unit.tracker.sns_signing import CERTIFICATE_NAME, Signer, signer

SNS_HEADERS = {"Content-Type": "text/plain; charset=UTF-8"}


@pytest.fixture
def ours(home: RunningTracker) -> Signer:
    """A key whose certificate is pinned in the home's folder."""
    found = signer(days=3650)
    folder = home.home / "certificates"
    folder.mkdir()
    (folder / CERTIFICATE_NAME).write_bytes(found.pem)
    return found


def post(home: RunningTracker, body: bytes) -> httpx.Response:
    return httpx.post(f"{home.url}/sns", content=body, headers=SNS_HEADERS)


def now() -> datetime:
    return datetime.now(UTC)


def test_every_kind_is_taken_and_the_ones_that_matter_become_events(
    home: RunningTracker, ours: Signer
) -> None:
    home.start().ready()
    for name in FIXTURES:
        for version in ("1", "2"):
            body = ours.body(text(name), now(), SignatureVersion=version)
            assert post(home, body).status_code == 200, name
    home.forwarded(16)
    assert home.stop() == 0
    found = {(one.id, one.type) for one in home.records("events")}
    assert sorted(kind for _, kind in found) == [
        "doorstep.bounced", "doorstep.bounced", "doorstep.complained", "doorstep.delayed",
        "doorstep.delivered", "doorstep.rejected", "doorstep.ses_sent", "doorstep.soft_bounced",
    ]  # fmt: skip
    assert {event.message_id for event in home.events()} == {message_of()}
    assert {one.subject for one in home.suppressions()} == {ADA, address_key(ADDRESS, SECRET)}
    assert "@" not in "".join(event.model_dump_json() for event in home.events())


def test_in_any_order_and_each_twice_the_log_ends_the_same(
    home: RunningTracker, ours: Signer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = [*FIXTURES, *VARIANTS] * 2

    def told_in(order: list[str], running: RunningTracker) -> tuple[dict[str, Any], set[str]]:
        running.start().ready()
        for number, name in enumerate(order):
            body = ours.body(text(name), now(), SignatureVersion="12"[number % 2])
            assert post(running, body).status_code == 200, name
        assert running.stop() == 0
        events = {
            one.id: one.data.model_dump(mode="json", exclude={"told_at"})
            for one in running.records("events")
        }
        return events, {one.key for one in running.suppressions()}

    with tracker_home(tmp_path_factory.mktemp("other")) as other:
        (other.home / "certificates").mkdir()
        (other.home / "certificates" / CERTIFICATE_NAME).write_bytes(ours.pem)
        random.Random(7).shuffle(shuffled := list(names))
        assert told_in(names, home) == told_in(shuffled, other)


def test_what_is_not_ours_is_taken_counted_and_kept_out(home: RunningTracker, ours: Signer) -> None:
    home.start().ready()
    greeting = "Successfully validated SNS topic for Amazon SES event publishing."
    assert post(home, ours.body(greeting, now())).status_code == 200
    assert post(home, ours.body(text("delivery", {}), now())).status_code == 200
    assert home.metric("doorstep_ses_events_total", kind="foreign") == 1
    assert 'kind="Delivery"' in httpx.get(f"{home.url}/metrics").text, "begun at nought"
    assert home.nothing_recorded()


def test_what_is_not_from_our_topic_of_sns_is_refused_and_leaves_no_trace(
    home: RunningTracker, ours: Signer
) -> None:
    home.start().ready()
    fields = json.loads(ours.body(text("complaint"), now()))
    altered = json.dumps({**fields, "Message": text("hard bounce")}).encode()
    unsigned = json.dumps({k: v for k, v in fields.items() if k != "Signature"}).encode()
    elsewhere = "https://evil.example/SimpleNotificationService-0a.pem"
    topic = "arn:aws:sns:eu-west-2:999999999999:doorstep-ses-events"
    old = datetime(2026, 1, 2, tzinfo=UTC)
    refused = [
        (403, altered),
        (403, unsigned),
        (403, signer("theirs", days=3650).body(text("complaint"), now())),
        (403, ours.body(text("complaint"), now(), SigningCertURL=elsewhere)),
        (403, ours.body(text("complaint"), now(), TopicArn=topic)),
        (403, ours.body(text("complaint"), old)),
        (403, ours.confirmation("SubscriptionConfirmation", now(), SubscribeURL=elsewhere)),
        (400, text("complaint").encode()),
        (400, b"{"),
        (400, b""),
        (413, ours.body("x" * 300_000, now())),
    ]
    for status, body in refused:
        answer = post(home, body)
        assert answer.status_code == status, answer.text
    assert home.nothing_recorded()


def test_the_end_of_the_subscription_is_an_alarm(home: RunningTracker, ours: Signer) -> None:
    home.start().ready()
    answer = post(home, ours.confirmation("UnsubscribeConfirmation", now()))
    assert answer.status_code == 200
    alarms = [line for line in home.said() if line.get("action") == "tracker.sns_unsubscribed"]
    assert [line["level"] for line in alarms] == ["error"]
    assert home.nothing_recorded()


def test_what_the_sandbox_signs_is_believed(home: RunningTracker, tmp_path: Path) -> None:
    identity = prepare_identity(tmp_path / "sandbox")
    folder = str(identity.certificate_path.parent)
    home.start(DOORSTEP_TRACKER__CERTIFICATES=folder).ready()
    for version in ("1", "2"):
        envelope = {
            "Type": "Notification",
            "MessageId": "11111111-2222-5333-8444-555555555555",
            "TopicArn": "arn:aws:sns:eu-west-2:000000000000:doorstep-ses-events",
            "Subject": "Amazon SES Email Event Notification",
            "Message": text("delivery"),
            "Timestamp": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "SignatureVersion": version,
            "SigningCertURL": (f"https://sns.eu-west-2.amazonaws.com/{identity.certificate_name}"),
        }
        signature = sign(
            load_key(identity.key_path), "1" if version == "1" else "2", canonical_text(envelope)
        )
        envelope["Signature"] = base64.b64encode(signature).decode()
        assert post(home, json.dumps(envelope).encode()).status_code == 200
    eventually(lambda: len(home.events("delivered")) == 2, "both on the log")
    assert len({one.id for one in home.records("events")}) == 1
