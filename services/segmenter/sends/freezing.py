"""Freezing: a partition's part of an audience, fixed at the due time, in one transaction.

A part is frozen once everything that was on the log when the send became due has been read, so
that nobody is missed who was written before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from services.segmenter.people.audience import Member, members
from services.segmenter.sends.audience_batches import area_data, areas_json, edition_of
from services.segmenter.sends.frozen_sets import FrozenSets
from services.segmenter.sends.outcome_events import emit_final
from services.segmenter.sends.programme import Planned
from services.segmenter.sends.variants import draw
from shared.clock import to_ms
from shared.ids import event_id, message_id
from shared.log.partitioner import partition_of
from shared.log.record import TopicPartition
from shared.log.topics import CONTROL, EVENTS, SUPPORTERS
from shared.store.sqlite import SqliteStore, SqliteUnit
from shared.wire.cloudevents import encode
from shared.wire.control import FreezeReported

NO_AREA_DATA = "no data for this area, and no default"


class Barrier:
    """Whether a partition has read what was on the log when a send was first seen to be due."""

    def __init__(self, store: SqliteStore, end_offsets: Callable[[str], dict[int, int]]) -> None:
        self._store, self._end_offsets = store, end_offsets
        self._goals: dict[str, dict[TopicPartition, int]] = {}

    def passed(self, send_id: str, partition: int) -> bool:
        """True once both inputs of the partition are read that far."""
        goal = self._goals.get(send_id)
        if goal is None:
            goal = {
                TopicPartition(topic, number): end
                for topic in (SUPPORTERS, EVENTS)
                for number, end in self._end_offsets(topic).items()
            }
            self._goals[send_id] = goal
        read = self._store.positions(partition)
        return all(
            read.get(place, 0) >= end for place, end in goal.items() if place.partition == partition
        )

    def forget(self, send_id: str) -> None:
        self._goals.pop(send_id, None)


def freeze(
    unit: SqliteUnit, planned: Planned, partition: int, partitions: int, now: datetime
) -> int:
    """Freeze the part and report it; how many people. Does nothing when it was frozen before.

    The part of a send for who newly qualifies begins empty, that of a cancelled one stays so.
    """
    sets = FrozenSets(unit.connection)
    send = planned.send
    if not sets.begin(send.name, 0, partition, "frozen", to_ms(now)):
        return 0
    empty = send.mode == "newly_qualifies" or planned.order.cancelled
    found = [] if empty else list(
        members(
            unit.connection, planned.segment.rule, now, partition,
            topic=send.topic, send_id=send.name,
        )
    )  # fmt: skip
    add_members(unit, planned, found, partition, now)
    frozen, _, _ = sets.counts(send.name, 0, partition)
    report = FreezeReported(
        send_id=send.name,
        occurrence=0,
        partition=partition,
        frozen=frozen,
        by_variant=sets.shape(send.name, 0, partition, "variant"),
        by_edition=sets.shape(send.name, 0, partition, "edition"),
        at=now,
    )
    unit.emit(
        partition,
        encode(
            report,
            id=event_id("freeze", send.name, 0, partition),
            source="segmenter",
            subject=send.name,
            time=now,
            topic=CONTROL,
            partition=partition_of(send.name, partitions),
            key=send.name,
        ),
    )
    return frozen


def add_members(
    unit: SqliteUnit, planned: Planned, found: Iterable[Member], partition: int, now: datetime
) -> None:
    """Rows of a frozen set for these people. Whose area has no data ends as failed, by name."""
    sets = FrozenSets(unit.connection)
    sets.add(_rows(unit, planned, found, partition, now))


def _rows(
    unit: SqliteUnit, planned: Planned, found: Iterable[Member], partition: int, now: datetime
) -> Iterator[tuple[Any, ...]]:
    send = planned.send
    for member in found:
        edition = edition_of(planned, member.areas)
        row = (
            send.name, 0, member.supporter_id, partition,
            message_id(send.name, member.supporter_id), member.address_key,
            draw(send.name, member.address_key, send.variants), edition,
            areas_json(member.areas),
        )  # fmt: skip
        if area_data(planned, edition) is None:
            emit_final(
                unit, partition, "failed", NO_AREA_DATA, send_id=send.name, message_id=row[4],
                supporter_id=member.supporter_id, variant=row[6], edition=edition, now=now,
            )  # fmt: skip
            yield (*row, "failed", NO_AREA_DATA, to_ms(now))
        else:
            yield (*row, None, None, to_ms(now))
