"""Every broker is away while a tracker starts: people are answered, and nothing of it is lost."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from shared.errors import Misconfigured
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.topics import EVENTS, PROGRAMME, SUPPRESSIONS, TOPICS
from shared.settings import KafkaSettings
from shared.wire.cloudevents import Envelope, decode
from shared.wire.events import Event
from shared.wire.suppressions import Suppression
from tests.integration.tracker.running import ACTION_KEY, RunningTracker, eventually
from tests.unit.tracker.building import (
    ADA,
    PARTITIONS,
    SEND,
    message_of,
    programme_records,
    token,
)
from tests.unit.tracker.ses_fixtures import text
from tests.unit.tracker.sns_signing import CERTIFICATE_NAME, signer

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

pytestmark = [pytest.mark.real("kafka"), pytest.mark.timeout(300)]


class OnKafka(RunningTracker):
    """A tracker whose log is topics of its own on a cluster."""

    def __init__(self, home: Path, cluster: Cluster) -> None:
        super().__init__(home)
        self.cluster = cluster
        self.kafka = KafkaSettings(prefix=f"{uuid.uuid4().hex[:8]}.", replication=1, min_insync=1)
        topics = Topics(cluster.bootstrap, self.kafka, PARTITIONS, TOPICS)
        topics.create(topics.plan())
        topics.close()

    def start(self, *arguments: str, **environment: str) -> RunningTracker:  # type: ignore[override]
        return super().start(
            *arguments,
            **{
                "DOORSTEP_LOG": self.cluster.bootstrap,
                "DOORSTEP_KAFKA__PREFIX": self.kafka.prefix,
                "DOORSTEP_PARTITIONS": str(PARTITIONS),
                **environment,
            },
        )

    def listening(self) -> RunningTracker:
        """Wait until it answers, ready or not."""
        self.port = eventually(self.listening_port, "the tracker listens")
        return self

    @contextmanager
    def log(self) -> Iterator[KafkaLog]:
        opened = KafkaLog(self.cluster.bootstrap, self.kafka, self.home, PARTITIONS)
        yield opened
        opened.close()

    def records(self, topic: str) -> list[Envelope]:
        with self.log() as log:
            follower = log.follow(topic)
            ends, found = log.end_offsets(topic), []
            while any(follower.next_offsets()[number] < end for number, end in ends.items()):
                found += [decode(stored) for stored in follower.read(timeout_seconds=0.2)]
            follower.close()
        return found


@pytest.fixture
def home(tmp_path: Path, kafka_cluster: Cluster) -> Iterator[OnKafka]:
    """Not started; a programme is on its log."""
    running = OnKafka(tmp_path, kafka_cluster)
    with running.log() as log:
        log.append(programme_records())
    assert running.records(PROGRAMME)
    yield running
    running.kill()


@contextmanager
def brokers_away(cluster: Cluster) -> Iterator[None]:
    """Stopped in order: a lone broker killed at the end of a transaction may leave it open for
    good, and then nobody reads on behind it.
    """
    for node in cluster.nodes:
        cluster.stop_broker(node.number)
    try:
        yield
    finally:
        for node in cluster.nodes:
            cluster.start_broker(node.number)
        cluster.wait_ready()


class Visitor:
    """Somebody who opens, clicks, acts and leaves."""

    def __init__(self) -> None:
        self.supporter_id = str(uuid.uuid4())
        self.token = token(supporter=self.supporter_id)

    def opens(self, url: str) -> int:
        return httpx.get(f"{url}/o/{self.token}.gif").status_code

    def clicks(self, url: str) -> httpx.Response:
        return httpx.get(f"{url}/c/{self.token}/0")

    def acts(self, url: str) -> int:
        return httpx.post(
            f"{url}/actions", json={"action": "pledged", "token": self.token},
            headers={"Authorization": f"Bearer {ACTION_KEY}", "Idempotency-Key": self.token},
        ).status_code  # fmt: skip

    def leaves(self, url: str) -> int:
        asked = httpx.get(f"{url}/u/{self.token}").status_code
        assert asked == 200
        one_click = {"List-Unsubscribe": "One-Click"}
        return httpx.post(f"{url}/u/{self.token}", data=one_click).status_code


def test_started_while_all_brokers_are_away_it_answers_by_what_it_last_knew(
    home: OnKafka,
) -> None:
    amazon = signer(days=3650)
    (home.home / "certificates").mkdir()
    (home.home / "certificates" / CERTIFICATE_NAME).write_bytes(amazon.pem)
    home.start().ready()
    before, meanwhile = Visitor(), Visitor()
    assert before.clicks(home.url).status_code == 302
    eventually(lambda: len(home.records(EVENTS)) == 1, "the first click is on the log")
    with brokers_away(home.cluster):
        assert before.opens(home.url) == 200
        home.kill()
        home.start().ready()
        said = httpx.get(f"{home.url}/readyz").text
        assert said.startswith("ready, but links lead where they led "), said
        assert home.status("/healthz") == 200
        assert meanwhile.opens(home.url) == 200
        answer = meanwhile.clicks(home.url)
        assert answer.status_code == 302
        assert answer.headers["location"] == (
            f"https://hilltop.example/volunteer?from=mail&d={meanwhile.token}#form"
        )
        assert meanwhile.acts(home.url) == 200
        assert meanwhile.leaves(home.url) == 200
        told = amazon.body(text("delivery"), datetime.now(UTC))
        assert httpx.post(f"{home.url}/sns", content=told).status_code == 200
        assert httpx.get(f"{home.url}/c/forged/0").status_code == 404
        unknown = httpx.get(f"{home.url}/c/{token(send='made-since')}/0")
        assert unknown.status_code == 503, "perhaps it is a send that was not heard of yet"
        assert home.metric("doorstep_spool_age_seconds") > 0
        home.kill()
        home.start().ready()
        assert before.acts(home.url) == 200

    eventually(
        lambda: httpx.get(f"{home.url}/readyz", timeout=60).text == "ready", "all is well again"
    )
    eventually(lambda: home.metric("doorstep_spool_age_seconds") == 0, "the spool is forwarded")
    assert httpx.get(f"{home.url}/c/{token(send='made-since')}/0").status_code == 404
    assert home.stop() == 0
    events = [one.data for one in home.records(EVENTS) if isinstance(one.data, Event)]
    assert Counter((event.supporter_id, event.kind) for event in events) == Counter(
        [(before.supporter_id, kind) for kind in ("clicked", "opened", "acted")]
        + [(meanwhile.supporter_id, kind) for kind in ("opened", "clicked", "acted")]
        + [(meanwhile.supporter_id, "unsubscribed"), (ADA, "delivered")]
    )
    assert all(event.send_id == SEND for event in events)
    assert all(event.message_id == message_of(event.supporter_id) for event in events)
    suppressions = [
        one.data.subject for one in home.records(SUPPRESSIONS) if isinstance(one.data, Suppression)
    ]
    assert suppressions == [meanwhile.supporter_id]


def test_one_that_never_read_the_programme_keeps_what_needs_none(home: OnKafka) -> None:
    somebody = Visitor()
    with brokers_away(home.cluster):
        home.start()
        home.listening()
        assert home.status("/readyz") == 503
        assert somebody.opens(home.url) == 200
        assert somebody.leaves(home.url) == 200
        assert somebody.clicks(home.url).status_code == 503

    home.ready()
    assert somebody.clicks(home.url).status_code == 302
    eventually(lambda: home.metric("doorstep_spool_age_seconds") == 0, "the spool is forwarded")
    assert home.stop() == 0
    events = [one.data for one in home.records(EVENTS) if isinstance(one.data, Event)]
    assert sorted(event.kind for event in events) == ["clicked", "opened", "unsubscribed"]
    assert {event.send_id for event in events} == {SEND}


def test_told_to_stop_while_brokers_are_away_it_does(home: OnKafka) -> None:
    home.start().ready()
    somebody = Visitor()
    with brokers_away(home.cluster):
        home.kill()
        home.start().ready()
        assert somebody.opens(home.url) == 200
        assert home.stop() == 0
    home.start().ready()
    eventually(lambda: len(home.records(EVENTS)) == 1, "the hit is forwarded by its next life")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"DOORSTEP_LOG": "http://kafka:9092"}, "is no broker"),
        ({"DOORSTEP_PARTITIONS": "5"}, "DOORSTEP_PARTITIONS=24"),
        ({"DOORSTEP_KAFKA__SECURITY_PROTOCOL": "SSL",
          "DOORSTEP_KAFKA__SSL_CAFILE": "/not/there.pem"}, "SSL_CAFILE"),
    ],
)  # fmt: skip
def test_what_no_broker_can_mend_ends_it_with_a_word(
    home: OnKafka, wrong: dict[str, str], words: str
) -> None:
    home.start(**wrong)
    assert home.ended() == Misconfigured.exit_code
    assert words in str(home.said())
