"""What both bodies of a store say in the same SQL."""

from __future__ import annotations

from shared.errors import Fenced
from shared.log.embedded.schema import pack_headers, unpack_headers
from shared.log.record import Record, TopicPartition
from shared.store.database import Database
from shared.store.port import OutboxRow

OUTBOX = (
    "partition", "seq", "topic", "out_partition", "key", "value", "headers", "timestamp_ms",
)  # fmt: skip


def outbox_row(partition: int, seq: int, record: Record) -> tuple[object, ...]:
    """The columns of OUTBOX."""
    return (
        partition, seq, record.topic, record.partition, record.key, record.value,
        pack_headers(record.headers), record.timestamp_ms,
    )  # fmt: skip


def advance(database: Database, place: TopicPartition, old: int | None, new: int) -> None:
    """See `shared.store.port.Unit.advance`; the epoch is checked before."""
    if old is None:
        database.execute(
            "insert into input_position(topic, partition, next_offset) values (?, ?, ?)"
            " on conflict do nothing",
            (place.topic, place.partition, new),
        )
    else:
        database.execute(
            "update input_position set next_offset = ?"
            " where topic = ? and partition = ? and next_offset = ?",
            (new, place.topic, place.partition, old),
        )
    if not database.changes():
        raise Fenced(f"the position of {place.topic}[{place.partition}] has moved meanwhile")


def trim(database: Database, partition: int, through_seq: int) -> None:
    """See `shared.store.port.Unit.trim`."""
    database.execute(
        "delete from outbox where partition = ? and seq <= ?", (partition, through_seq)
    )


def raised_epoch(database: Database, partition: int) -> int:
    """Take a number: its new epoch."""
    ((epoch,),) = database.execute(
        "insert into ownership(partition, epoch) values (?, 1) on conflict (partition)"
        " do update set epoch = ownership.epoch + 1 returning epoch",
        (partition,),
    )
    return int(epoch)


def overtaken(database: Database, epochs: dict[int, int]) -> frozenset[int]:
    """See `shared.store.port.Store.overtaken`. `epochs`: number to our own."""
    newest = dict(database.execute("select partition, epoch from ownership"))
    return frozenset(number for number, epoch in epochs.items() if newest.get(number) != epoch)


def positions(database: Database, partition: int) -> dict[TopicPartition, int]:
    """See `shared.store.port.Store.positions`."""
    return {
        TopicPartition(topic, partition): next_offset
        for topic, next_offset in database.execute(
            "select topic, next_offset from input_position where partition = ?", (partition,)
        )
    }


def pending(database: Database, partition: int, after_seq: int, limit: int) -> list[OutboxRow]:
    """See `shared.store.port.Store.pending`."""
    return [
        OutboxRow(
            partition, seq, Record(topic, out, key, value, unpack_headers(headers), timestamp_ms)
        )
        for seq, topic, out, key, value, headers, timestamp_ms in database.execute(
            "select seq, topic, out_partition, key, value, headers, timestamp_ms from outbox"
            " where partition = ? and seq > ? order by seq limit ?",
            (partition, after_seq, limit),
        )
    ]


def last_seqs(database: Database) -> dict[int, int]:
    """See `shared.store.port.Store.last_seqs`."""
    return dict(database.execute("select partition, last_seq from ownership"))
