"""What a Kafka client of ours is made with, and what is left of one that finds no broker."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, errors

from shared.errors import Misconfigured
from shared.log.kafka.client import connection
from shared.log.kafka.mends import opened
from shared.settings import KafkaSettings


@pytest.mark.parametrize(
    "bootstrap", ["http://kafka:9092", "kafka:port", "kafka:", "::::", ",", "a b:9092", "k:1,k/2"]
)
def test_what_is_no_broker_is_said_to_be_none(bootstrap: str) -> None:
    with pytest.raises(Misconfigured, match="DOORSTEP_LOG"):
        connection(bootstrap, KafkaSettings())


@pytest.mark.parametrize("bootstrap", ["kafka", "kafka:9092", "a:1, b:2,", "[::1]:9092", "::1:9"])
def test_brokers_are_hosts_with_or_without_a_port(bootstrap: str) -> None:
    assert connection(bootstrap, KafkaSettings())["bootstrap_servers"]


def test_certificates_that_cannot_be_read_are_told_before_anything_is_tried(
    tmp_path: Path,
) -> None:
    (tmp_path / "no.pem").write_text("not a certificate")
    for name in ("missing.pem", "no.pem"):
        for field in ("ssl_cafile", "ssl_certfile"):
            settings = KafkaSettings(security_protocol="SSL", **{field: tmp_path / name})
            with pytest.raises(Misconfigured, match="TLS to Kafka"):
                connection("kafka:9092", settings)


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("kind", [KafkaConsumer, KafkaProducer, KafkaAdminClient])
def test_a_client_that_finds_no_broker_leaves_nothing_running(
    kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "kafka")  # a captured line would hold on to its error's socket
    nobody = {**connection("127.0.0.1:1", KafkaSettings()), "bootstrap_timeout_ms": 50}
    threads, files = threading.active_count(), open_files()
    for _ in range(5):
        with pytest.raises(errors.KafkaTimeoutError):
            opened(kind, **nobody)
    assert threading.active_count() == threads
    assert open_files() <= files


def open_files() -> int:
    gc.collect()  # the client leaves it the socket of a refused connection
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
