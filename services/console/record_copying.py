"""Records from one log to another, for `doorstep move`: each once, however often it is begun again.

How far the copy has come stands in the new log, as the cursor of a publisher: it is committed with
the records it speaks of, together or not at all. So a copy that was cut off is taken up where it
stopped, and a log with something in it and no such cursor is nobody's to write to.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from services.console.record_times import Ages
from shared.clock import SystemClock, to_ms
from shared.errors import DoorstepError, Misconfigured
from shared.log.embedded.contents import Contents
from shared.log.port import Log, Publisher
from shared.log.record import Record, TopicPartition
from shared.log.topics import TOPICS
from shared.observability.fail_points import FailPoints
from shared.settings import PREFIX

PUBLISHER: Final = "move"
BYTES: Final = 4_000_000
RECORDS: Final = 500
_BEGIN_ANEW: Final = (
    "delete those topics, and the schemas segmenter and sender in the database, or choose another "
    f"{PREFIX}KAFKA__PREFIX and an empty database; then run it again"
)


class NotMoved(DoorstepError):
    """A part could not be moved."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a move of the contents `home` has come; `reached`: next offsets of `topic`."""

    home: str
    topic: str = TOPICS[0].name
    reached: Mapping[int, int] = field(default_factory=dict)
    done: bool = False

    def to_text(self) -> str:
        """Short: brokers keep 4 KB beside a position."""
        reached = [self.reached.get(n, 0) for n in range(max(self.reached, default=-1) + 1)]
        return json.dumps([self.home, self.topic, reached, self.done], separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Mark:
        home, topic, reached, done = json.loads(text)
        return cls(home, topic, dict(enumerate(reached)), done)


@dataclass(slots=True)
class Copied:
    """Records by topic, before and after; where each group stands in the new log."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    positions: dict[str, dict[TopicPartition, int]] = field(default_factory=dict)


def begin_or_go_on(source: Log, target: Log, contents: Contents, publisher: Publisher) -> Mark:
    """Where to go on. Raises Misconfigured when what is in the target is not of this move."""
    mine, said = Mark(_fingerprint(source, contents)), publisher.cursor()
    if not said:
        _refuse_full(target)
        publisher.commit([], mine.to_text())
        return mine
    found = Mark.from_text(said)
    if found.home != mine.home:
        raise Misconfigured(
            "at these brokers a move was begun of another home, or of this one before it was used "
            f"again: {_BEGIN_ANEW}"
        )
    return found


def copy_records(source: Log, publisher: Publisher, mark: Mark, fail_points: FailPoints) -> None:
    """All that is not there yet, in order within each partition."""
    names = [spec.name for spec in TOPICS]
    for topic in names[names.index(mark.topic) :]:
        reached = dict(mark.reached) if topic == mark.topic else {}
        for batch, upto in _batches(source, topic, reached):
            publisher.commit(batch, replace(mark, topic=topic, reached=upto).to_text())
            fail_points.reach("move.records.after_commit")


def compare(source: Log, target: Log, contents: Contents) -> Copied:
    """Count both, and find the groups' places in the new log, where offsets are others: before the
    record that follows as many as the group has read, or at the end.

    Raises NotMoved when one has other records than the other.
    """
    copied = Copied(positions={group.name: {} for group in contents.groups})
    for spec in TOPICS:
        topic = spec.name
        before, read = _counted(source, topic, contents)
        ends, after = target.end_offsets(topic), Counter[int]()
        for partition, offset in _places(target, topic):
            for group in read.get((partition, after[partition]), ()):
                copied.positions[group][TopicPartition(topic, partition)] = offset
            after[partition] += 1
        for (partition, records), groups in read.items():
            if records == before[partition]:
                for group in groups:
                    copied.positions[group][TopicPartition(topic, partition)] = ends[partition]
        copied.counts[topic] = {"before": before.total(), "after": after.total()}
        if before != after:
            raise NotMoved(
                f"{topic}: {before.total()} records here, {after.total()} at the brokers: somebody "
                f"else has written there, or the move was begun too long ago: {_BEGIN_ANEW}"
            )
    return copied


def _refuse_full(target: Log) -> None:
    for spec in TOPICS:
        if any(target.end_offsets(spec.name).values()):
            raise Misconfigured(
                f"topic {spec.name} is not empty at the brokers: a move needs new topics; delete "
                f"them, or choose another {PREFIX}KAFKA__PREFIX"
            )


def _fingerprint(source: Log, contents: Contents) -> str:
    """Another one when a record was written or a position moved."""
    said = [
        [(spec.name, sorted(source.end_offsets(spec.name).items())) for spec in TOPICS],
        [
            [(*place, at.next_offset, at.metadata) for place, at in sorted(group.positions.items())]
            for group in contents.groups
        ],
        sorted(contents.publishers.items()),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _batches(
    source: Log, topic: str, reached: dict[int, int]
) -> Iterator[tuple[list[Record], Mapping[int, int]]]:
    """The records of a topic from `reached` on, some at a time, and how far they go."""
    batch: list[Record] = []
    size = 0
    ages = Ages(topic, to_ms(SystemClock().now()))
    follower = source.follow(topic)
    try:
        while found := follower.read():
            for it in found:
                if it.offset < reached.get(it.partition, 0):
                    continue
                if ages.apart(it) and batch:
                    yield batch, reached
                    batch, size = [], 0
                reached[it.partition] = it.offset + 1
                batch.append(
                    Record(topic, it.partition, it.key, it.value, it.headers, ages.time_of(it))
                )
                size += len(it.value or b"")
                if len(batch) >= RECORDS or size >= BYTES:
                    yield batch, reached
                    batch, size = [], 0
    finally:
        follower.close()
    if batch:
        yield batch, reached


def _counted(
    source: Log, topic: str, contents: Contents
) -> tuple[Counter[int], dict[tuple[int, int], list[str]]]:
    """Records by partition; and (partition, so many records read) to the groups that did."""
    stands: dict[int, list[tuple[str, int]]] = {}
    for group in contents.groups:
        for place, position in group.positions.items():
            if place.topic == topic:
                stands.setdefault(place.partition, []).append((group.name, position.next_offset))
    count, read = Counter[int](), Counter[tuple[int, str]]()
    for partition, offset in _places(source, topic):
        count[partition] += 1
        read.update((partition, name) for name, upto in stands.get(partition, ()) if offset < upto)
    found: dict[tuple[int, int], list[str]] = {}
    for partition, standing in stands.items():
        for name, _ in standing:
            found.setdefault((partition, read[partition, name]), []).append(name)
    return count, found


def _places(log: Log, topic: str) -> Iterator[tuple[int, int]]:
    """(partition, offset) of every record of a topic, to its end."""
    follower = log.follow(topic)
    ends = follower.end_offsets()
    try:
        while any(follower.next_offsets().get(n, 0) < end for n, end in ends.items()):
            for stored in follower.read(timeout_seconds=0.2):
                yield stored.partition, stored.offset
    finally:
        follower.close()
