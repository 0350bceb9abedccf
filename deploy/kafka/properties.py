"""server.properties of a node that is broker and controller at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Node:
    number: int
    port: int
    controller_port: int
    folder: Path

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


def properties_of(node: Node, nodes: Sequence[Node], extra: Mapping[str, str]) -> dict[str, str]:
    """All settings of one node; `extra` wins."""
    copies = str(min(3, len(nodes)))
    least = "2" if len(nodes) >= 3 else "1"
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(
            f"{one.number}@{HOST}:{one.controller_port}" for one in nodes
        ),
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(node.folder / "data"),
        # as many copies as there are brokers to hold them
        "default.replication.factor": copies,
        "min.insync.replicas": least,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": least,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": least,
        # a group may be stopped for 30 days and goes on where it was
        "offsets.retention.minutes": "43200",
        **_QUICK,
        **extra,
    }


def as_text(properties: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


# What differs from a broker in production, so that tests need not wait.
_QUICK: Final[Mapping[str, str]] = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",  # tests let a member die within a second or two
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.num.partitions": "2",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # compaction and retention are seen to every second instead of every minutes
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "log.cleaner.backoff.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "leader.imbalance.check.interval.seconds": "10",
    # few threads: several brokers share two cores
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}
