"""`doorstep move`: an embedded home, stopped and drained, moves to Kafka and PostgreSQL.

Nothing here is changed before all is there; what is there must be empty, or the beginning of the
same move. Every step says in the target itself that it is done, in the transaction that does it: a
move that was cut off is called again and goes on. Records keep key, value, headers, time and
partition; offsets differ, so positions are found anew. At the end the home is one of Kafka and
PostgreSQL (leaving.py).
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from services.console.home import LOG, handed_down, require_home
from services.console.leaving import BEFORE, destination, finish_leaving, leave
from services.console.options import JSON
from services.console.record_copying import (
    PUBLISHER,
    Copied,
    Mark,
    NotMoved,
    begin_or_go_on,
    compare,
    copy_records,
)
from services.console.record_times import begin_copy, end_copy
from services.console.screen import Column
from services.console.surroundings import here
from shared.errors import Misconfigured
from shared.log.embedded.body import EmbeddedLog
from shared.log.embedded.contents import Contents, Group, read_contents
from shared.log.kafka.topics import Topics
from shared.log.opening import open_log
from shared.log.port import Log
from shared.log.record import Position, TopicPartition
from shared.log.topics import TOPICS
from shared.moved import moved_to
from shared.observability.fail_points import FailPoints
from shared.settings import PREFIX, Settings

STORES: Final = {"sender": "ledger.db", "segmenter": "people.db"}
LOCKS: Final = ("up.lock", "sender/ledger.lock", "segmenter/people.lock", "tracker/spool.lock")
JOIN_SECONDS: Final = 60.0
LEFT: Final = (
    "Moved. Start with `doorstep up`: this home remembers brokers and database. Keep the home: its "
    f"secret and the tracker's spool are used on. The old log and stores are in {BEFORE}/ and hold "
    "addresses: delete that folder when all is well."
)


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
        counts = move_all(source, target, contents, settings, to)
    finally:
        target.close()
        source.close()
    leave(to)
    if as_json:
        around.screen.json({"counts": counts})
        return
    around.screen.table(
        [Column("what"), Column("before", number=True), Column("after", number=True)],
        [[name, n["before"], n["after"]] for name, n in counts.items()],
    )
    around.screen.say(("✓ ", "green"), LEFT)


def move_all(
    source: Log, target: Log, contents: Contents, settings: Settings, to: Settings
) -> dict[str, dict[str, int]]:
    """Records by topic and rows by table, before and after; empty when all was done before.

    1. The records, each batch with the mark of how far it goes; whoever still runs an earlier call
    is fenced. 2. Counts, and the groups' places. 3. Each store in one transaction, with its id.
    4. Each group's position in one transaction. 5. The cursors of publishers. 6. The mark: done.
    """
    fail_points, publisher = FailPoints(to.fail_at), target.publisher(PUBLISHER)
    try:
        mark = begin_or_go_on(source, target, contents, publisher)
        if mark.done:
            return {}
        begin_copy(to)
        copy_records(source, publisher, mark, fail_points)
        copied = compare(source, target, contents)
        counts = dict(copied.counts)
        for service in STORES:
            counts |= move_store(settings, to.postgres_dsn(), service, contents, copied)
        for group in contents.groups:
            place_group(target, group, copied.positions[group.name], to)
            fail_points.reach("move.group.after_commit")
        for name, cursor in contents.publishers.items():
            place_publisher(target, name, cursor)
        end_copy(to)
        publisher.commit([], Mark(mark.home, done=True).to_text())
    finally:
        publisher.close()
    return counts


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


def move_store(
    settings: Settings, dsn: str, service: str, contents: Contents, copied: Copied
) -> dict[str, dict[str, int]]:
    """By the service's own program, since nobody else knows its tables."""
    if not (settings.home / service / STORES[service]).is_file():
        return {}
    group = next((each for each in contents.groups if each.name == service), None)
    if group is None:
        return {}
    positions: dict[str, dict[str, int]] = {}
    for place, next_offset in copied.positions[service].items():
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
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise NotMoved(f"{service}: {said[-1][:2_000]}")
    counts: dict[str, dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    return {f"{service}.{table}": number for table, number in counts.items()}


def place_group(
    target: Log, group: Group, positions: Mapping[TopicPartition, int], settings: Settings
) -> None:
    """Write where a group stands in the new log, with the relay's cursor beside it.

    Raises NotMoved when it stands somewhere else there: somebody has read on.
    """
    wanted = {
        place: Position(next_offset, group.positions[place].metadata)
        for place, next_offset in positions.items()
    }
    known = target.positions(group.name, group.topics)
    if known == wanted:
        return
    if known:
        raise NotMoved(
            f"{group.name}: services were started at the brokers before the move was done; "
            "stop them, delete topics and schemas, then run it again"
        )
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
        member.commit(polled.membership, [], wanted)
    finally:
        member.close()


def place_publisher(target: Log, name: str, cursor: str) -> None:
    """Write how far a publisher has come. Raises NotMoved when it has come further there."""
    publisher = target.publisher(name)
    try:
        known = publisher.cursor()
        if known not in ("", cursor):
            raise NotMoved(f"{name}: has been used at the brokers before the move was done")
        publisher.commit([], cursor)
    finally:
        publisher.close()
