"""Brokers on this machine: they start, answer, die, come back with their data, and never leak."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from deploy.kafka.cluster import Cluster

pytestmark = pytest.mark.real("kafka")


def made_topic(cluster: Cluster, name: str, partitions: int = 2) -> None:
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    copies = len(cluster.nodes)
    admin.create_topics({name: {"num_partitions": partitions, "replication_factor": copies}})
    admin.wait_for_topics([name])
    admin.close()


def written(cluster: Cluster, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap)
    futures = [producer.send(topic, value=value, partition=0) for value in values]
    producer.flush(timeout=30)
    for future in futures:
        future.get(timeout=0)
    producer.close()


def read(cluster: Cluster, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=cluster.bootstrap)
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    values: list[bytes] = []
    deadline = time.monotonic() + 30
    while len(values) < count and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=200).values():
            values += [record.value for record in records]
    consumer.close()
    return values


def test_one_broker_starts_and_answers(kafka_cluster: Cluster) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka_cluster.bootstrap)
    found = admin.describe_cluster()
    admin.close()
    assert [broker["broker_id"] for broker in found["brokers"]] == [1]
    assert kafka_cluster.bootstrap == f"127.0.0.1:{found['brokers'][0]['port']}"


def test_of_three_brokers_one_dies_and_comes_back(tmp_path: Path) -> None:
    soon = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
    with Cluster(tmp_path, brokers=3, properties=soon) as cluster:
        made_topic(cluster, "kept")
        written(cluster, "kept", [b"before"])
        cluster.kill(2)
        assert not cluster.is_running(2)
        written(cluster, "kept", [b"meanwhile"])  # two of three copies are enough
        cluster.restart(2)
        assert read(cluster, "kept", 2) == [b"before", b"meanwhile"]


def test_a_second_cluster_over_the_folder_goes_on_with_its_data(tmp_path: Path) -> None:
    with Cluster(tmp_path) as first:
        made_topic(first, "kept")
        written(first, "kept", [b"before"])
    with Cluster(tmp_path) as second:
        assert read(second, "kept", 1) == [b"before"]


def test_a_frozen_broker_answers_again_once_it_is_thawed(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        made_topic(cluster, "kept")
        cluster.suspend(1)
        assert cluster.is_running(1)
        cluster.resume(1)
        cluster.wait_ready()
        written(cluster, "kept", [b"after"])


def test_no_broker_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    # given a process that starts a broker and then is killed without a word
    program = (
        "import pathlib, sys, time\n"
        "from deploy.kafka.cluster import Cluster\n"
        "cluster = Cluster(pathlib.Path(sys.argv[1])).start()\n"
        "print(cluster._running[1].pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    root = Path(__file__).resolve().parents[3]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    broker = int(parent.stdout.readline())
    assert is_alive(broker)
    # when
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    # then
    deadline = time.monotonic() + 10
    while is_alive(broker):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Neither gone nor a zombie that nobody has seen out yet."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
