"""A small stateful or stateless service for the tests of the loop: copies `supporters` to `events`.

Usage: python -m tests.integration.loop.copying_service KIND FOLDER FAIL_AT UNTIL
KIND is stateful or stateless. FOLDER says which bodies: with a file kafka.json the log is Kafka,
with a file postgres the store is PostgreSQL. It ends by itself when `events` holds UNTIL records.
A record whose source is "poison" is refused, one whose source is "later" raises RetryLater until a
file FOLDER/ready exists.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from shared.clock import SystemClock
from shared.errors import NeverRetry, RetryLater
from shared.log.embedded.body import EmbeddedLog
from shared.log.kafka.body import KafkaLog
from shared.log.port import Log
from shared.log.record import Record
from shared.log.topics import EVENTS, SUPPORTERS
from shared.loop.delivery import Delivery
from shared.loop.loop import Loop
from shared.loop.relay import Relay
from shared.loop.work import StatefulWork, StatelessWork
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import LoopSettings
from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore
from shared.wire.supporters import SupporterChanged
from tests.contract.log.conftest import kafka_settings

PARTITIONS = 4
DDL = ("create table seen(supporter_id text primary key) strict",)


def copies(deliveries: Sequence[Delivery], folder: Path) -> list[Record]:
    made = []
    for delivery in deliveries:
        data = delivery.envelope.data
        assert isinstance(data, SupporterChanged)
        if data.source == "poison":
            raise NeverRetry("this record is poison")
        if data.source == "bug":
            raise ZeroDivisionError("a bug in a handler")
        if data.source == "later" and not (folder / "ready").exists():
            raise RetryLater("not ready yet", after_seconds=0.05)
        stored = delivery.stored
        made.append(Record(EVENTS, stored.partition, stored.key, data.supporter_id.encode()))
    return made


class Stateless:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def handle(self, deliveries: Sequence[Delivery]) -> list[Record]:
        return copies(deliveries, self._folder)


class Stateful:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def handle(self, unit: Unit, deliveries: Sequence[Delivery]) -> None:
        for delivery, record in zip(deliveries, copies(deliveries, self._folder), strict=True):
            unit.connection.execute(
                "insert into seen values (?)", ((record.value or b"").decode(),)
            )
            unit.emit(delivery.stored.partition, record)

    def tick(self, now: datetime) -> None: ...

    def assigned(self, partitions: frozenset[int]) -> None: ...

    def released(self, partitions: frozenset[int]) -> None: ...

    def stop(self) -> None: ...


def open_log(folder: Path) -> Log:
    if not (folder / "kafka.json").exists():
        return EmbeddedLog(folder / "log.db", PARTITIONS)
    bootstrap, settings = kafka_settings(folder)
    return KafkaLog(bootstrap, settings, folder, PARTITIONS)


def open_store(folder: Path) -> Store[Unit]:
    if not (folder / "postgres").exists():
        return SqliteStore(folder / "store.db", DDL, synchronous="FULL")
    return PostgresStore((folder / "postgres").read_text(), "copying", DDL)


def main(kind: str, folder_name: str, fail_at: str, until: str) -> None:
    folder = Path(folder_name)
    log, clock, metrics = open_log(folder), SystemClock(), Metrics("copy")
    fail_points = FailPoints(fail_at)
    member = log.join("copy", [SUPPORTERS], lease_seconds=1)
    settings = LoopSettings(poll_seconds=0.02, max_records=7, dead_letter_budget=5)
    if kind == "stateless":
        work = StatelessWork("copy", member, Stateless(folder), clock, fail_points, metrics)
        loop = Loop("copy", [SUPPORTERS], member, work, settings, clock, metrics)
    else:
        store = open_store(folder)
        relay = Relay("copy", (SUPPORTERS,), member, store, fail_points, metrics)
        stateful: StatefulWork[Unit] = StatefulWork(
            "copy",
            (SUPPORTERS,),
            member,
            store,
            Stateful(folder),
            relay,
            clock,
            fail_points,
            metrics,
        )
        loop = Loop(
            "copy", [SUPPORTERS], member, stateful, settings, clock, metrics,
            rewind=stateful.rewind,
        )  # fmt: skip
    turn, copied, made = loop.turn, log.follow(EVENTS), 0

    def turn_and_look() -> object:
        nonlocal made
        polled = turn()
        made += len(copied.read())
        if made >= int(until):
            loop.stop()
        return polled

    loop.turn = turn_and_look  # type: ignore[method-assign,assignment]
    loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
