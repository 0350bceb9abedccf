"""Records are copied to Kafka once, though the copy is cut off wherever that hurts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.console.record_copying import (
    PUBLISHER,
    Mark,
    NotMoved,
    begin_or_go_on,
    compare,
    copy_records,
)
from shared.errors import Misconfigured, RetryLater
from shared.log.embedded.body import EmbeddedLog
from shared.log.embedded.contents import Contents, Group
from shared.log.kafka.body import KafkaLog
from shared.log.port import Log, Publisher
from shared.log.record import Position, Record, TopicPartition
from shared.log.topics import AUDIENCE, EVENTS, PROGRAMME, SUPPORTERS, TOPICS
from shared.observability.fail_points import FailPoints
from tests.contract.log.conftest import kafka_settings, prepare_kafka
from tests.contract.log.narration import read_all

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

pytestmark = pytest.mark.real("kafka")

PARTITIONS = 3
POSITIONS = {
    TopicPartition(SUPPORTERS, 0): Position(0),
    TopicPartition(SUPPORTERS, 1): Position(123, "store:9"),
    TopicPartition(SUPPORTERS, 2): Position(700),
    TopicPartition(EVENTS, 0): Position(1),
    TopicPartition(EVENTS, 1): Position(0),
}
CONTENTS = Contents(
    [Group("segmenter", (SUPPORTERS, EVENTS), POSITIONS), Group("renderer", (AUDIENCE,), {})],
    {}, frozenset(),
)  # fmt: skip


class Breaking:
    """A publisher that is cut off at every other commit: before it was made, or after."""

    def __init__(self, publisher: Publisher, number: int) -> None:
        self._publisher, self._number = publisher, number
        self._left = 2

    def cursor(self) -> str:
        return self._publisher.cursor()

    def commit(self, outputs: Sequence[Record], cursor: str) -> None:
        self._left -= 1
        if self._left or self._number % 2:
            self._publisher.commit(outputs, cursor)
        if not self._left:
            raise RetryLater("the connection was lost")

    def close(self) -> None:
        self._publisher.close()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log.db", PARTITIONS)
    log.append(
        [Record(SUPPORTERS, n % 3, b"%d" % n, b"v%d" % n, (("h", b"1"),)) for n in range(2_100)]
    )
    log.append([Record(PROGRAMME, 0, b"k%d" % (n % 3), b"v%d" % n) for n in range(9)])
    log.append([Record(EVENTS, 0, b"e%d" % n, b"happened") for n in range(2)])
    yield log
    log.close()


@pytest.fixture
def target(tmp_path: Path, kafka_cluster: Cluster) -> Iterator[KafkaLog]:
    prepare_kafka(tmp_path, kafka_cluster, 1, PARTITIONS, TOPICS)
    log = KafkaLog(*kafka_settings(tmp_path), tmp_path, PARTITIONS)
    yield log
    log.close()


def one_try(source: Log, target: Log, number: int | None = None) -> Mark:
    """A whole call; with a number, one that is cut off."""
    publisher: Publisher = target.publisher(PUBLISHER)
    if number is not None:
        publisher = Breaking(publisher, number)
    try:
        mark = begin_or_go_on(source, target, CONTENTS, publisher)
        copy_records(source, publisher, mark, FailPoints(""))
    finally:
        publisher.close()
    return mark


def held(log: Log, topic: str, partition: int, start: int = 0) -> list[tuple[object, ...]]:
    follower = log.follow(topic)
    found = [
        (stored.key, stored.value, stored.headers)
        for stored in read_all(follower)
        if stored.partition == partition and stored.offset >= start
    ]
    follower.close()
    return found


def test_cut_off_again_and_again_every_record_arrives_once_and_in_order(
    source: EmbeddedLog, target: KafkaLog
) -> None:
    cuts = 0
    while True:
        try:
            one_try(source, target, cuts)
        except RetryLater:
            cuts += 1
        else:
            break
    assert cuts >= 4

    copied = compare(source, target, CONTENTS)
    assert copied.counts[SUPPORTERS] == {"before": 2_100, "after": 2_100}
    assert copied.counts[PROGRAMME] == {"before": 3, "after": 3}
    for topic in (SUPPORTERS, PROGRAMME, EVENTS):
        for partition in source.end_offsets(topic):
            assert held(target, topic, partition) == held(source, topic, partition)
    assert copied.positions["segmenter"].keys() == POSITIONS.keys()
    for (topic, partition), there in copied.positions["segmenter"].items():
        here = POSITIONS[TopicPartition(topic, partition)].next_offset
        assert held(target, topic, partition, there) == held(source, topic, partition, here)
    end = copied.positions["segmenter"][TopicPartition(SUPPORTERS, 2)]
    assert end == target.end_offsets(SUPPORTERS)[2]


def test_a_home_that_was_used_again_is_not_taken_up(source: EmbeddedLog, target: KafkaLog) -> None:
    with pytest.raises(RetryLater):
        one_try(source, target, 1)
    source.append([Record(EVENTS, 1, b"later", b"happened")])
    with pytest.raises(Misconfigured, match="before it was used again"):
        one_try(source, target)


def test_what_somebody_else_wrote_there_is_told(source: EmbeddedLog, target: KafkaLog) -> None:
    mark = one_try(source, target)
    target.append([Record(AUDIENCE, 0, b"0", b"a batch")])
    with pytest.raises(NotMoved, match="audience: 0 records here, 1 at the brokers"):
        compare(source, target, CONTENTS)
    publisher = target.publisher(PUBLISHER)
    publisher.commit([], Mark(mark.home, done=True).to_text())
    publisher.close()
    assert one_try(source, target).done, "only the home is to be left"


def test_a_log_with_something_in_it_and_no_mark_is_refused(
    source: EmbeddedLog, target: KafkaLog
) -> None:
    target.append([Record(AUDIENCE, 0, b"0", b"a batch")])
    with pytest.raises(Misconfigured, match="audience is not empty"):
        one_try(source, target)
    assert not held(target, SUPPORTERS, 0)


def test_a_mark_is_short_enough_for_the_brokers_with_any_number_of_partitions() -> None:
    mark = Mark("0" * 16, "memberships", dict.fromkeys(range(255), 10**9))
    assert len(mark.to_text()) < 4_096
    assert Mark.from_text(mark.to_text()) == mark
