"""`doorstep topics` and `doorstep lag`, on real brokers and on the embedded log."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from services.console.topics import remarks
from shared.log.opening import open_log
from shared.log.port import Log
from shared.log.record import Position, Record, TopicPartition
from shared.log.topics import AUDIENCE, TOPICS
from shared.settings import read_settings
from tests.integration.console.stage import Stage, until

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

ROOT = Path(__file__).resolve().parents[3]
ON_KAFKA = pytest.mark.real("kafka")


@pytest.fixture
def brokers(stage: Stage, kafka_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage on Kafka, with topics of its own that nobody has made yet."""
    for name, value in (
        ("DOORSTEP_LOG", kafka_cluster.bootstrap),
        ("DOORSTEP_PARTITIONS", "4"),
        ("DOORSTEP_KAFKA__PREFIX", f"{uuid.uuid4().hex[:8]}."),
        ("DOORSTEP_KAFKA__REPLICATION", "1"),
        ("DOORSTEP_KAFKA__MIN_INSYNC", "1"),
    ):
        monkeypatch.setenv(name, value)
    return stage


def topics(stage: Stage) -> dict[str, Any]:
    """Name without the prefix to what the plan says."""
    planned = stage.json("topics", "plan")["topics"]
    return {each["topic"].rpartition(".")[2]: each for each in planned}


def set_config(cluster: Cluster, topic: str, **configs: str) -> None:
    named = {name.replace("_", "."): value for name, value in configs.items()}
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, named)])
    admin.close()


@ON_KAFKA
def test_what_is_missing_is_planned_and_then_made(brokers: Stage) -> None:
    assert {each["state"] for each in topics(brokers).values()} == {"missing"}
    assert "nobody is here to be asked: say --yes" in brokers.refused("topics", "apply")
    assert {each["state"] for each in topics(brokers).values()} == {"missing"}
    assert f"{len(TOPICS)} topics made" in brokers.said("topics", "apply", "--yes")
    made = topics(brokers)
    assert {each["state"] for each in made.values()} == {"right"}, made
    assert made["programme"]["partitions"] == {"is": 1, "wanted": 1}
    assert made["events"]["partitions"] == {"is": 4, "wanted": 4}
    assert "nothing was changed" in brokers.said("topics", "apply")
    shown = brokers.said("topics", "plan")
    for part in ("newest of a key", "for ever", "14 d", "365 d"):
        assert part in shown


@ON_KAFKA
def test_what_differs_is_told_and_set_only_when_asked_to(
    brokers: Stage, kafka_cluster: Cluster
) -> None:
    brokers.said("topics", "apply", "--yes")
    name = topics(brokers)["messages"]["topic"]
    set_config(kafka_cluster, name, retention_ms="60000")
    differs = {"retention.ms": {"is": "60000", "wanted": "1209600000"}}
    until(lambda: topics(brokers)["messages"]["differs"] == differs, "the brokers to have it")
    said = brokers.refused("topics", "apply", "--yes")
    assert f"{name}: the settings differ" in said
    assert "doorstep topics apply --configure" in said
    assert topics(brokers)["messages"]["differs"] == differs
    assert "1 topic configured" in brokers.said("topics", "apply", "--configure", "--yes")
    assert topics(brokers)["messages"]["state"] == "right"


@ON_KAFKA
def test_another_number_of_partitions_is_refused_and_never_altered(
    brokers: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers.said("topics", "apply", "--yes")
    monkeypatch.setenv("DOORSTEP_PARTITIONS", "6")
    found = topics(brokers)
    assert found["events"]["state"] == "refused"
    assert "has 4 partitions, wanted are 6" in brokers.said("topics", "plan")
    for words in (("--yes",), ("--yes", "--configure")):
        said = brokers.refused("topics", "apply", *words)
        assert "never altered in place" in said
    assert topics(brokers)["events"]["partitions"]["is"] == 4


@ON_KAFKA
def test_more_copies_than_brokers_are_refused_with_what_to_do(
    brokers: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOORSTEP_KAFKA__REPLICATION", "3")
    said = brokers.refused("topics", "apply", "--yes")
    assert "there is 1 broker, and 3 copies of each topic are wanted" in said
    assert "DOORSTEP_KAFKA__REPLICATION=1" in said


@ON_KAFKA
def test_brokers_that_remember_positions_long_enough_are_not_warned_of(brokers: Stage) -> None:
    assert brokers.json("topics", "plan")["offsets_retention_minutes"] == 43_200
    assert "offsets.retention.minutes" not in brokers.doorstep("topics", "plan").stderr


def test_brokers_that_forget_positions_soon_are_warned_of() -> None:
    (said,) = remarks([], memory_minutes=10_080)
    assert "offsets.retention.minutes=10080" in said
    assert "43200 or more" in said


@ON_KAFKA
def test_the_command_of_the_compose_file_makes_the_topics_on_its_one_broker(
    stage: Stage, kafka_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text("utf-8"))
    service = compose["services"]["topics"]
    for name, value in service["environment"].items():
        if "$" not in value:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("DOORSTEP_LOG", kafka_cluster.bootstrap)
    monkeypatch.setenv("DOORSTEP_KAFKA__PREFIX", f"{uuid.uuid4().hex[:8]}.")
    assert f"{len(TOPICS)} topics made" in stage.said(*service["command"])
    assert "nothing was changed" in stage.said(*service["command"]), "at the next start"


@ON_KAFKA
def test_brokers_may_be_named_on_the_command_line(
    brokers: Stage, kafka_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOORSTEP_LOG")
    found = brokers.json("topics", "plan", "--kafka", kafka_cluster.bootstrap)
    assert (found["log"], found["brokers"]) == (kafka_cluster.bootstrap, 1)


def test_the_embedded_log_needs_no_topics_command(stage: Stage) -> None:
    for words in (("plan",), ("apply",), ("apply", "--configure", "--yes")):
        assert "there is nothing to do" in stage.said("topics", *words)
    assert not stage.home.exists()


def handled(log: Log, first: int, then: int) -> None:
    """`first + then` records at one place, of which the renderer has handled `first`."""
    log.append([Record(AUDIENCE, 2, b"2", b"x") for _ in range(first)])
    member = log.join("renderer", (AUDIENCE,))
    place, membership = TopicPartition(AUDIENCE, 2), None
    read = 0
    while read < first:
        polled = member.poll(1.0, 100)
        membership = polled.membership
        read += len(polled.records.get(place, ()))
    assert membership is not None
    member.commit(membership, [], {place: Position(member.next_offset(place))})
    member.close()
    log.append([Record(AUDIENCE, 2, b"2", b"x") for _ in range(then)])


@pytest.mark.parametrize("body", ["embedded", pytest.param("kafka", marks=ON_KAFKA)])
def test_lag_is_what_a_group_has_yet_to_handle(
    stage: Stage, body: str, request: pytest.FixtureRequest
) -> None:
    if body == "kafka":
        request.getfixturevalue("brokers").said("topics", "apply", "--yes")
    stage.home.mkdir(exist_ok=True)
    log = open_log(read_settings(home=stage.home))
    handled(log, first=3, then=5)
    log.close()
    markers = 0 if body == "embedded" else 2  # of the appends; one may be behind the position
    found = stage.json("lag")
    assert set(found) == {"segmenter", "renderer", "sender"}
    [place] = [each for each in found["renderer"]["audience"]["partitions"] if each["records"]]
    assert place["partition"] == 2
    assert 5 <= place["records"] <= 5 + markers
    assert found["sender"]["messages"]["records"] == 0
    assert found["sender"]["messages"]["partitions"][0]["next_offset"] is None
    assert "renderer" in stage.said("lag")
    lines = stage.said("lag", "renderer", "--partitions").splitlines()
    assert len(lines) == 3, lines
    assert "one of segmenter, renderer, sender" in stage.refused("lag", "tracker")
    assert json.dumps(stage.json("lag", "renderer")) == json.dumps({"renderer": found["renderer"]})
