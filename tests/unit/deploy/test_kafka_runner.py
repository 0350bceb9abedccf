"""What the Kafka runner decides before it starts anything."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from deploy.kafka import artifacts, java
from deploy.kafka.missing import Missing
from deploy.kafka.properties import Node, properties_of


def nodes(count: int, folder: Path) -> list[Node]:
    return [Node(n, 20_000 + n, 30_000 + n, folder / str(n)) for n in range(1, count + 1)]


def test_one_broker_asks_for_one_copy(tmp_path: Path) -> None:
    (only,) = nodes(1, tmp_path)
    made = properties_of(only, [only], {})
    assert made["offsets.topic.replication.factor"] == "1"
    assert made["transaction.state.log.min.isr"] == made["min.insync.replicas"] == "1"


def test_three_brokers_keep_three_copies_and_write_with_two(tmp_path: Path) -> None:
    three = nodes(3, tmp_path)
    made = properties_of(three[1], three, {})
    assert made["transaction.state.log.replication.factor"] == "3"
    assert made["min.insync.replicas"] == "2"
    assert made["controller.quorum.voters"].count("@") == 3
    assert made["node.id"] == "2"


def test_what_a_caller_adds_wins(tmp_path: Path) -> None:
    (only,) = nodes(1, tmp_path)
    assert properties_of(only, [only], {"min.insync.replicas": "7"})["min.insync.replicas"] == "7"


def test_the_cache_is_where_the_environment_says() -> None:
    assert artifacts.cache_folder({"KAFKA_CACHE": "/a"}) == Path("/a")
    assert artifacts.cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/doorstep/kafka")


def test_jars_that_differ_from_the_list_are_refused(tmp_path: Path) -> None:
    (tmp_path / "kafka-clients.jar").write_bytes(b"not a broker")
    with pytest.raises(Missing, match=r"is not what jars\.sha256 says"):
        artifacts.check_jars(tmp_path)


def test_jars_as_listed_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "jars.sha256"
    listed.write_text(f"{hashlib.sha256(b'broker').hexdigest()}  kafka.jar\n")
    monkeypatch.setattr(artifacts, "_CHECKSUMS", listed)
    (tmp_path / "kafka.jar").write_bytes(b"broker")
    artifacts.check_jars(tmp_path)


def test_without_maven_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="install maven"):
        artifacts.fetch(tmp_path / "cache", Path("java"))


@pytest.mark.parametrize(
    ("said", "version"),
    [('openjdk version "17.0.15" 2025-04-15', 17), ('java version "1.8.0_452"', 8), ("?", 0)],
)
def test_the_version_of_a_java_is_read(tmp_path: Path, said: str, version: int) -> None:
    program = tmp_path / "java"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    program.chmod(0o755)
    assert java.java_version(program) == version


def test_an_old_java_is_passed_over_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'java version \"11.0.1\"' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Missing, match="is version 11"):
        java.find_java({"JAVA_HOME": str(tmp_path), "PATH": ""})
