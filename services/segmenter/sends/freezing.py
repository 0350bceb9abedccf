"""Freezing: a partition's part of an audience, fixed at the due time, in one transaction.

A part is frozen once everything that was on the log when the send became due has been read, so
that nobody is missed who was written before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.segmenter.people.audience import Chosen, audience
from services.segmenter.people.lately import COLD, ranks
from services.segmenter.sends.audience_batches import area_data, areas_json, edition_of
from services.segmenter.sends.frozen_sets import COLUMNS, FrozenSets
from services.segmenter.sends.outcome_events import emit_final
from services.segmenter.sends.programme import Planned
from services.segmenter.sends.variants import draw
from shared.clock import to_ms
from shared.ids import event_id, message_id
from shared.log.partitioner import partition_of
from shared.log.record import TopicPartition
from shared.log.topics import CONTROL, EVENTS, SUPPORTERS
from shared.store.port import Unit
from shared.wire.cloudevents import encode
from shared.wire.control import FreezeReported

NO_AREA_DATA = "no data for this area, and no default"


class Barrier:
    """Whether a partition has read what was on the log when a send was first seen to be due."""

    def __init__(self, end_offsets: Callable[[str], dict[int, int]]) -> None:
        self._end_offsets = end_offsets
        self._goals: dict[str, dict[TopicPartition, int]] = {}

    def passed(self, send_id: str, partition: int, read: Mapping[TopicPartition, int]) -> bool:
        """True once both inputs of the partition are read that far; `read` is how far they are.

        Whoever takes the partition over sees the send later, and so waits for no less.
        """
        goal = self._goals.get(send_id)
        if goal is None:
            goal = {
                TopicPartition(topic, number): end
                for topic in (SUPPORTERS, EVENTS)
                for number, end in self._end_offsets(topic).items()
            }
            self._goals[send_id] = goal
        return all(
            read.get(place, 0) >= end for place, end in goal.items() if place.partition == partition
        )


def freeze(
    unit: Unit,
    planned: Planned,
    partition: int,
    partitions: int,
    now: datetime,
    lately: Sequence[str] = (),
) -> int:
    """Freeze the part and report it; how many people. Does nothing when it was frozen before.

    The part of a send for who newly qualifies begins empty, that of a cancelled one stays so.
    `lately`: sends; who has answered one of them is mailed first.
    """
    sets = FrozenSets(unit.connection)
    send = planned.send
    unit.check(partition)
    if not sets.begin(send.name, 0, partition, "frozen", to_ms(now)):
        return 0
    by_variant: Counter[str] = Counter()
    by_edition: Counter[str] = Counter()
    if send.mode != "newly_qualifies" and not planned.order.cancelled:
        for page in audience(
            unit.connection, planned.segment.rule, now, partition,
            topic=send.topic, send_id=send.name,
        ):  # fmt: skip
            rows = _rows(unit, planned, page, partition, now)
            sets.fill(rows)
            if lately:
                ids = [member.supporter_id for member in page]
                warm = ranks(unit.connection, ids, lately)
                sets.rank(send.name, 0, {one: warm.get(one, COLD) for one in ids})
            by_variant.update(row[COLUMNS.index("variant")] for row in rows)
            by_edition.update(row[COLUMNS.index("edition")] for row in rows)
    frozen = by_variant.total()
    report = FreezeReported(
        send_id=send.name,
        occurrence=0,
        partition=partition,
        frozen=frozen,
        by_variant=dict(by_variant),
        by_edition=dict(by_edition),
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
    unit: Unit, planned: Planned, found: Iterable[Chosen], partition: int, now: datetime
) -> None:
    """Put these people into a frozen set that is there."""
    FrozenSets(unit.connection).add(_rows(unit, planned, found, partition, now))


def _rows(
    unit: Unit, planned: Planned, found: Iterable[Chosen], partition: int, now: datetime
) -> list[tuple[Any, ...]]:
    """Rows of a frozen set. Whose area has no data ends as failed, by name."""
    send = planned.send
    rows: list[tuple[Any, ...]] = []
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
            rows.append((*row, "failed", NO_AREA_DATA, to_ms(now)))
        else:
            rows.append((*row, None, None, to_ms(now)))
    return rows
