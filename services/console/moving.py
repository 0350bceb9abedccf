"""`doorstep move`: an embedded home, stopped and drained, moves to Kafka and PostgreSQL.

Nothing here is changed before all is there; what is there must be empty. Records keep key, value,
headers, time and partition; offsets differ, so positions are found anew: a topic is copied up to
each place where a group stands, and where the new log then ends is that group's position there.
At the end the home is one of Kafka and PostgreSQL (leaving.py).
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from services.console.approving import JSON
from services.console.home import LOG, handed_down, require_home
from services.console.leaving import BEFORE, destination, finish_leaving, leave
from services.console.record_times import Ages, begin_copy, end_copy
from services.console.screen import Column
from services.console.surroundings import here
from shared.clock import SystemClock, to_ms
from shared.errors import DoorstepError, Misconfigured
from shared.log.embedded.body import EmbeddedLog
from shared.log.embedded.contents import Contents, Group, read_contents
from shared.log.kafka.topics import Topics
from shared.log.opening import open_log
from shared.log.port import Log
from shared.log.record import Position, Record, TopicPartition
from shared.log.topics import TOPICS
from shared.moved import moved_to
from shared.settings import PREFIX, Settings

STORES: Final = {"sender": "ledger.db", "segmenter": "people.db"}
LOCKS: Final = ("up.lock", "sender/ledger.lock", "segmenter/people.lock", "tracker/spool.lock")
BYTES: Final = 4_000_000
RECORDS: Final = 500
JOIN_SECONDS: Final = 60.0
LEFT: Final = (
    "Moved. Start with `doorstep up`: this home remembers brokers and database. Keep the home: its "
    f"secret and the tracker's spool are used on. The old log and stores are in {BEFORE}/ and hold "
    "addresses: delete that folder when all is well."
)


class NotMoved(DoorstepError):
    """A part could not be moved."""


@dataclass(slots=True)
class Moved:
    """Records by topic and rows by table, before and after; positions in the new log."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    positions: dict[str, dict[TopicPartition, int]] = field(default_factory=dict)


def move(
    context: typer.Context,
    kafka: Annotated[str, typer.Option("--kafka", help="Bootstrap servers of the brokers.")],
    postgres: Annotated[
        str | None,
        typer.Option(
            "--postgres", metavar="DSN",
            help=f"An empty database; better {PREFIX}POSTGRES_FILE, which no list of processes "
            "shows.",
        ),
    ] = None,
    as_json: JSON = False,
) -> None:  # fmt: skip
    """Move this home, stopped and drained, to Kafka and PostgreSQL."""
    around = here(context)
    settings = around.settings
    to = destination(settings, kafka, postgres)
    if moved_to(settings.home) is not None:
        finish_leaving(to)
        if as_json:
            around.screen.json({"counts": {}})
        else:
            around.screen.say(("✓ ", "green"), LEFT)
        return
    require_home(settings)
    refuse_running(settings.home)
    contents = read_contents(settings.home / LOG)
    if contents.running:
        raise Misconfigured(
            f"still running, or ended without a goodbye seconds ago: {', '.join(contents.running)}"
        )
    make_topics(to)
    source: Log = EmbeddedLog(settings.home / LOG, settings.partitions)
    target = open_log(to)
    try:
        refuse_full(target)
        begin_copy(to)
        moved = copy_records(source, target, contents)
        for service in STORES:
            moved.counts |= move_store(settings, to.postgres_dsn(), service, contents, moved)
        for group in contents.groups:
            place_group(target, group, moved.positions[group.name], settings)
        for name, cursor in contents.publishers.items():
            publisher = target.publisher(name)
            publisher.commit([], cursor)
            publisher.close()
        end_copy(to)
    finally:
        target.close()
        source.close()
    leave(to)
    if as_json:
        around.screen.json({"counts": moved.counts})
        return
    around.screen.table(
        [Column("what"), Column("before", number=True), Column("after", number=True)],
        [[name, n["before"], n["after"]] for name, n in moved.counts.items()],
    )
    around.screen.say(("✓ ", "green"), LEFT)


def refuse_running(home: Path) -> None:
    """Raises Misconfigured when a service holds one of its locks."""
    for name in LOCKS:
        if not (home / name).is_file():
            continue
        descriptor = os.open(home / name, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Misconfigured(f"{home / name} is held: stop all services first") from error
        finally:
            os.close(descriptor)


def make_topics(to: Settings) -> None:
    """Those that are missing. Raises Misconfigured for one with another number of partitions."""
    topics = Topics(to.log, to.kafka, to.partitions, TOPICS)
    try:
        plans = topics.plan()
        for plan in plans:
            if plan.refused:
                raise Misconfigured(
                    f"topic {plan.at_brokers} has {plan.found} partitions, wanted {plan.partitions}"
                )
        topics.create([plan for plan in plans if plan.found is None])
    finally:
        topics.close()


def refuse_full(target: Log) -> None:
    """Raises Misconfigured when a topic has ever had a record."""
    for spec in TOPICS:
        if any(target.end_offsets(spec.name).values()):
            raise Misconfigured(
                f"topic {spec.name} is not empty at the brokers: a move needs new topics; delete "
                f"them, or choose another {PREFIX}KAFKA__PREFIX"
            )


def copy_records(source: Log, target: Log, contents: Contents) -> Moved:
    """Every topic, up to each group's position and then to its end."""
    moved = Moved(positions={group.name: {} for group in contents.groups})
    for spec in TOPICS:
        topic, ends = spec.name, source.end_offsets(spec.name)
        reached = dict.fromkeys(ends, 0)
        stops = {number: _stops(contents, topic, number, end) for number, end in ends.items()}
        copied = 0
        for turn in range(max((len(each) for each in stops.values()), default=0)):
            upto = {n: each[min(turn, len(each) - 1)] for n, each in stops.items()}
            for batch in _batches(source, topic, reached, upto):
                target.append(batch)
                copied += len(batch)
            now = target.end_offsets(topic)
            for group in contents.groups:
                for place, position in group.positions.items():
                    known = moved.positions[group.name]
                    if place.topic == topic and position.next_offset == upto[place.partition]:
                        known.setdefault(place, now[place.partition])
            reached = upto
        moved.counts[topic] = {"before": _held(source, topic), "after": _held(target, topic)}
        if copied != moved.counts[topic]["after"]:
            raise NotMoved(f"{topic}: {copied} records were copied, the brokers have others")
    return moved


def move_store(
    settings: Settings, dsn: str, service: str, contents: Contents, moved: Moved
) -> dict[str, dict[str, int]]:
    """By the service's own program, since nobody else knows its tables."""
    if not (settings.home / service / STORES[service]).is_file():
        return {}
    group = next((each for each in contents.groups if each.name == service), None)
    if group is None:
        return {}
    positions: dict[str, dict[str, int]] = {}
    for place, next_offset in moved.positions[service].items():
        positions.setdefault(place.topic, {})[str(place.partition)] = next_offset
    published = {
        str(place.partition): int(position.metadata.rpartition(":")[2])
        for place, position in group.positions.items()
        if place.topic == group.topics[0] and position.metadata
    }
    done = subprocess.run(
        [sys.executable, "-m", f"services.{service}.moving"],
        env=handed_down(settings, os.environ), check=False, text=True, capture_output=True,
        input=json.dumps({"dsn": dsn, "positions": positions, "published": published}),
    )  # fmt: skip
    if done.returncode:
        raise NotMoved(f"{service}: {done.stderr.strip().splitlines()[-1][:2_000]}")
    counts: dict[str, dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    return {f"{service}.{table}": number for table, number in counts.items()}


def place_group(
    target: Log, group: Group, positions: Mapping[TopicPartition, int], settings: Settings
) -> None:
    """Write where a group stands in the new log, with the relay's cursor beside it."""
    everything = frozenset(range(settings.partitions))
    member = target.join(group.name, group.topics)
    try:
        member.pause(everything)
        until = time.monotonic() + JOIN_SECONDS
        polled = member.poll(0.2, 1)
        while member.owned() != everything:
            polled = member.poll(0.2, 1)
            if time.monotonic() > until:
                raise NotMoved(f"{group.name}: the brokers did not give us the group")
        member.commit(
            polled.membership,
            [],
            {
                place: Position(next_offset, group.positions[place].metadata)
                for place, next_offset in positions.items()
            },
        )
    finally:
        member.close()


def _stops(contents: Contents, topic: str, number: int, end: int) -> list[int]:
    """Where groups stand in a place, and its end, in order."""
    place = TopicPartition(topic, number)
    found = {g.positions[place].next_offset for g in contents.groups if place in g.positions}
    return sorted({*found, end})


def _batches(
    source: Log, topic: str, after: Mapping[int, int], upto: Mapping[int, int]
) -> Iterator[list[Record]]:
    """The records of a topic within these offsets, in order, some at a time."""
    batch: list[Record] = []
    size = 0
    ages = Ages(topic, to_ms(SystemClock().now()))
    follower = source.follow(topic)
    try:
        while found := follower.read():
            for it in found:
                if not after[it.partition] <= it.offset < upto[it.partition]:
                    continue
                if ages.apart(it) and batch:
                    yield batch
                    batch, size = [], 0
                batch.append(
                    Record(topic, it.partition, it.key, it.value, it.headers, ages.time_of(it))
                )
                size += len(it.value or b"")
                if len(batch) >= RECORDS or size >= BYTES:
                    yield batch
                    batch, size = [], 0
    finally:
        follower.close()
    if batch:
        yield batch


def _held(log: Log, topic: str) -> int:
    """Records on a topic, to its end."""
    follower, count = log.follow(topic), 0
    ends = follower.end_offsets()
    try:
        while any(follower.next_offsets().get(n, 0) < end for n, end in ends.items()):
            count += len(follower.read(timeout_seconds=0.2))
    finally:
        follower.close()
    return count
