"""SES's events from an SQS queue, against moto's server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from shared.errors import Misconfigured
from shared.ids import address_key
from tests.integration.tracker.running import RunningTracker, eventually
from tests.unit.tracker.building import ADA, SECRET, message_of
from tests.unit.tracker.ses_fixtures import ADDRESS, FIXTURES, text

ThreadedMotoServer = pytest.importorskip("moto.server").ThreadedMotoServer

TOPIC = "arn:aws:sns:eu-west-2:000000000000:doorstep-ses-events"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
KINDS = [
    "bounced", "bounced", "complained", "delayed", "delivered", "rejected", "ses_sent",
    "soft_bounced",
]  # fmt: skip


class Queue:
    """A queue that shows a message again after a second."""

    def __init__(self, endpoint: str) -> None:
        self._client: Any = boto3.client(
            "sqs", endpoint_url=endpoint, region_name="eu-west-2",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        self.url = f"{endpoint}/123456789012/ses-events"

    def create(self) -> None:
        made = self._client.create_queue(
            QueueName="ses-events", Attributes={"VisibilityTimeout": "1"}
        )
        assert made["QueueUrl"] == self.url

    def put(self, body: str) -> None:
        self._client.send_message(QueueUrl=self.url, MessageBody=body)

    def left(self) -> int:
        """Those that are in hand with somebody count."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)


@pytest.fixture
def queue() -> Iterator[Queue]:
    server = ThreadedMotoServer(port=0)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    httpx.post(f"{endpoint}/moto-api/reset")  # all of moto's servers in a process share one world
    yield Queue(endpoint)
    server.stop()


def enveloped(name: str, topic: str = TOPIC) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": topic, "Message": text(name)})


def start(tracker: RunningTracker, queue: Queue, fail_at: str = "") -> RunningTracker:
    return tracker.start(
        fail_at=fail_at, DOORSTEP_TRACKER__QUEUE_URL=queue.url, **CREDENTIALS
    )  # fmt: skip


def told(tracker: RunningTracker) -> list[str]:
    """The kinds of all events on the log, each once."""
    found = {one.id: one.type.removeprefix("doorstep.") for one in tracker.records("events")}
    return sorted(found.values())


def test_events_in_envelopes_and_bare_are_kept_and_then_deleted(
    home: RunningTracker, queue: Queue
) -> None:
    queue.create()
    for name in FIXTURES:
        queue.put(enveloped(name))
        queue.put(text(name))
    start(home, queue).ready()
    eventually(lambda: queue.left() == 0, "the queue is empty")
    home.forwarded(16)
    assert home.metric("doorstep_ses_events_total", kind="Delivery") == 2
    assert home.stop() == 0
    assert told(home) == KINDS
    assert {event.message_id for event in home.events()} == {message_of()}
    assert {one.subject for one in home.suppressions()} == {ADA, address_key(ADDRESS, SECRET)}


def test_what_a_crash_leaves_undeleted_comes_again_and_is_the_same(
    home: RunningTracker, queue: Queue
) -> None:
    queue.create()
    for name in FIXTURES:
        queue.put(text(name))
    assert start(home, queue, fail_at="tracker.queue.before_delete").ended() == -9
    assert queue.left() == len(FIXTURES)
    start(home, queue).ready()
    eventually(lambda: queue.left() == 0, "the queue is empty")
    assert home.stop() == 0
    assert told(home) == KINDS
    assert len(home.events()) > len(KINDS), "told twice, under the same ids"


def test_what_is_not_from_our_topic_is_left_to_the_queues_dead_letters(
    home: RunningTracker, queue: Queue
) -> None:
    queue.create()
    queue.put(enveloped("complaint", "arn:aws:sns:eu-west-2:999999999999:other"))
    queue.put(f"nonsense from {ADDRESS}")
    queue.put(text("delivery", {}))
    start(home, queue).ready()
    eventually(
        lambda: home.metric("doorstep_tracked_hits_refused_total", reason="queue_message") >= 2,
        "both are refused",
    )
    eventually(lambda: queue.left() == 2, "a mail that is not ours is taken and forgotten")
    assert home.metric("doorstep_ses_events_total", kind="foreign") == 1
    assert home.nothing_recorded()
    assert ADDRESS not in str(home.said())


def test_people_are_answered_while_there_is_no_queue_and_it_is_read_when_there_is(
    home: RunningTracker, queue: Queue
) -> None:
    start(home, queue).ready()
    eventually(lambda: home.metric("doorstep_queue_failures_total") >= 1, "it is told")
    assert home.status("/healthz") == 200
    queue.create()
    queue.put(text("delivery"))
    assert home.forwarded(1)[0].kind == "delivered"


def test_a_url_that_is_none_ends_it_with_a_word(home: RunningTracker) -> None:
    home.start(DOORSTEP_TRACKER__QUEUE_URL="ses-events", **CREDENTIALS)
    assert home.ended() == Misconfigured.exit_code
    assert "QUEUE_URL" in str(home.said())
