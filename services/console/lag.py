"""`doorstep lag`: how many records every service has yet to handle, by the log's own account.

Nobody joins a group for it. Works while the services are down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from services.console.options import JSON
from services.console.screen import Cell, Column
from services.console.surroundings import here
from shared.errors import Misconfigured
from shared.log.port import Log
from shared.log.record import Position, TopicPartition
from shared.log.topics import READS


@dataclass(frozen=True, slots=True)
class Behind:
    """One group at one place of the log. `position` None: it has saved none yet."""

    group: str
    topic: str
    partition: int
    position: int | None
    end: int
    records: int


def lag(
    context: typer.Context,
    group: Annotated[
        str, typer.Argument(metavar="[SERVICE]", help=f"Only this one of {', '.join(READS)}.")
    ] = "",
    by_partition: Annotated[
        bool, typer.Option("--partitions", help="A line for each partition with records to handle.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Records not yet handled, by service and topic.

    Segmenter and sender keep their true positions in their stores and publish them with their
    outbox: what is shown may be behind them by what is on its way, never ahead. On Kafka the
    markers that end transactions count as records, so that a few may remain for a moment.
    """
    if group and group not in READS:
        raise Misconfigured(f"{group} is no service that reads records: one of {', '.join(READS)}")
    around = here(context)
    with around.log() as log:
        found = measured(log, {group: READS[group]} if group else READS)
    if as_json:
        around.screen.json(as_data(found))
        return
    if by_partition:
        rows: list[list[Cell]] = [
            [each.group, each.topic, each.partition, each.position, each.end, each.records]
            for each in found
            if each.records
        ]
        if not rows:
            around.screen.say("Everything is handled.")
            return
        around.screen.table(_BY_PARTITION, rows)
        return
    around.screen.table(_BY_TOPIC, by_topic(found))


_BY_TOPIC = (
    Column("service", wrap=False), Column("topic", wrap=False), Column("to handle", number=True),
    Column("in partitions", number=True), Column("most in one", number=True),
)  # fmt: skip
_BY_PARTITION = (
    Column("service", wrap=False), Column("topic", wrap=False), Column("partition", number=True),
    Column("next", number=True), Column("end", number=True), Column("to handle", number=True),
)  # fmt: skip


def measured(log: Log, reads: Mapping[str, Sequence[str]]) -> list[Behind]:
    """Every place of these groups. Positions are read before ends: nothing is then negative."""
    found = []
    for group, topics in reads.items():
        saved = log.positions(group, topics)
        for topic in topics:
            found += _compared(
                group, topic, saved, log.first_offsets(topic), log.end_offsets(topic)
            )
    return found


def _compared(
    group: str,
    topic: str,
    saved: Mapping[TopicPartition, Position],
    firsts: Mapping[int, int],
    ends: Mapping[int, int],
) -> list[Behind]:
    found = []
    for partition, end in sorted(ends.items()):
        position = saved.get(TopicPartition(topic, partition))
        begins = firsts.get(partition, 0) if position is None else position.next_offset
        found.append(
            Behind(
                group, topic, partition, None if position is None else position.next_offset, end,
                max(0, end - begins),
            )
        )  # fmt: skip
    return found


def by_topic(found: Sequence[Behind]) -> list[list[Cell]]:
    """A row for each group and topic."""
    rows: list[list[Cell]] = []
    for group, topic in dict.fromkeys((each.group, each.topic) for each in found):
        counts = [each.records for each in found if (each.group, each.topic) == (group, topic)]
        rows.append(
            [group, topic, sum(counts), sum(1 for each in counts if each), max(counts, default=0)]
        )
    return rows


def as_data(found: Sequence[Behind]) -> dict[str, Any]:
    """Group to topic to its sum and its partitions."""
    data: dict[str, Any] = {}
    for each in found:
        entry = data.setdefault(each.group, {}).setdefault(
            each.topic, {"records": 0, "partitions": []}
        )
        entry["records"] += each.records
        entry["partitions"].append(
            {
                "partition": each.partition, "next_offset": each.position, "end": each.end,
                "records": each.records,
            }
        )  # fmt: skip
    return data
