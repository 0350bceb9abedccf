"""Messages of the event queue: in SNS's envelope or bare, ours or not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tracker.queue_messages import NotTaken, Taken, read_queue_message
from tests.unit.tracker.ses_fixtures import FIXTURES, IDENTITY_FEEDBACK, text

TOPIC = "arn:aws:sns:eu-west-2:000000000000:doorstep-ses-events"


def enveloped(message: Any, **other: Any) -> str:
    fields = {"Type": "Notification", "MessageId": "1", "TopicArn": TOPIC, "Message": message}
    return json.dumps({**fields, **other})


@pytest.mark.parametrize("name", FIXTURES)
def test_every_event_is_taken_enveloped_and_bare(name: str) -> None:
    wanted = Taken("ours", FIXTURES[name]["eventType"], text(name))
    assert read_queue_message(enveloped(text(name)), [TOPIC]) == wanted
    assert read_queue_message(text(name), [TOPIC]) == wanted


def test_what_is_known_and_of_no_use_is_told_apart() -> None:
    for body in (text("send", {}), json.dumps(IDENTITY_FEEDBACK)):
        assert read_queue_message(body, [TOPIC]) == Taken("foreign")
        assert read_queue_message(enveloped(body), [TOPIC]) == Taken("foreign")
    assert read_queue_message(enveloped("Successfully validated SNS topic"), [TOPIC]) == Taken(
        "greeting"
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ("{}", "neither an envelope"),
        ('{"eventType":7}', "neither an envelope"),
        (enveloped(text("send"), TopicArn="arn:aws:sns:eu-west-2:9:x"), "the topic is not one"),
        (enveloped(text("send"), TopicArn=None), "the topic is not one"),
        (enveloped(text("send"), Type="SubscriptionConfirmation"), "holds no notification"),
        (enveloped({"eventType": "Send"}), "holds no notification"),
    ],
)
def test_anything_else_is_left_to_the_queue(body: str, said: str) -> None:
    with pytest.raises(NotTaken, match=said):
        read_queue_message(body, [TOPIC])
