"""Appending and reading records inside a connection; the callers hold the transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

from shared.errors import Misconfigured
from shared.log.embedded.schema import pack_headers, unpack_headers
from shared.log.record import Record, Stored


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the file knows it."""

    number: int
    name: str
    partitions: int
    compacted: bool


class Catalogue:
    """The topics of a log file, by name; read once, since topics are only ever added."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._by_name = {
            name: Topic(number, name, partitions, bool(compacted))
            for number, name, partitions, compacted in connection.execute(
                "select id, name, partitions, compacted from topic"
            )
        }

    def topic(self, name: str) -> Topic:
        """The topic. Raises Misconfigured when there is none of that name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise Misconfigured(f"the log has no topic called {name!r}") from None


def append(connection: apsw.Connection, catalogue: Catalogue, records: Sequence[Record]) -> None:
    """Append in order, giving each record the next offset of its place. Inside a transaction.

    Records are dated now, as brokers date them: retention counts from here, whatever time a record
    speaks of.
    """
    now_ms = time.time_ns() // 1_000_000
    heads: dict[tuple[int, int], int] = {}
    rows = []
    for record in records:
        topic = catalogue.topic(record.topic)
        place = (topic.number, record.partition)
        offset = heads.get(place)
        if offset is None:
            offset = _next_offset(connection, topic, record.partition)
        compact_key = record.key if topic.compacted else None
        if topic.compacted:
            if record.key is None:
                raise ValueError(f"{record.topic}: a record of a compacted topic needs a key")
            connection.execute(
                "delete from record where topic = ? and partition = ? and compact_key = ?",
                (topic.number, record.partition, record.key),
            )
        row = (
            topic.number, record.partition, offset, now_ms,
            compact_key, record.key, pack_headers(record.headers), record.value,
        )  # fmt: skip
        if topic.compacted:
            connection.execute("insert into record values (?, ?, ?, ?, ?, ?, ?, ?)", row)
        else:
            rows.append(row)
        heads[place] = offset + 1
    connection.executemany("insert into record values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.executemany(
        "update head set next_offset = ? where topic = ? and partition = ?",
        [(offset, topic, partition) for (topic, partition), offset in heads.items()],
    )


def _next_offset(connection: apsw.Connection, topic: Topic, partition: int) -> int:
    for (offset,) in connection.execute(
        "select next_offset from head where topic = ? and partition = ?", (topic.number, partition)
    ):
        return int(offset)
    raise ValueError(
        f"{topic.name} has partitions 0 to {topic.partitions - 1}, there is no {partition}"
    )


def fetch(
    connection: apsw.Connection, topic: Topic, partition: int, next_offset: int, limit: int
) -> list[Stored]:
    """Up to `limit` records from `next_offset` on, in order."""
    return list(stream(connection, topic, partition, next_offset, limit))


def stream(
    connection: apsw.Connection, topic: Topic, partition: int, next_offset: int, limit: int
) -> Iterator[Stored]:
    """The same one by one, for who may have enough sooner."""
    for offset, timestamp_ms, key, headers, value in connection.execute(
        "select offset, timestamp_ms, key, headers, value from record"
        " where topic = ? and partition = ? and offset >= ? order by offset limit ?",
        (topic.number, partition, next_offset, limit),
    ):
        yield Stored(
            topic.name, partition, offset, key, value, unpack_headers(headers), timestamp_ms
        )


def heads(connection: apsw.Connection, topic: Topic) -> dict[int, tuple[int, int]]:
    """Partition to (first offset kept, next offset)."""
    return {
        partition: (first, following)
        for partition, first, following in connection.execute(
            "select partition, first_offset, next_offset from head where topic = ?", (topic.number,)
        )
    }
