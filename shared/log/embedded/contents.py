"""What stands in a log file besides records: groups with their positions, and publishers.

For moving an installation to another body; nothing else has business here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw

from shared.clock import boot_seconds
from shared.log.record import Position, TopicPartition


@dataclass(frozen=True, slots=True)
class Group:
    """A group, what it reads, and where it stands."""

    name: str
    topics: Sequence[str]
    positions: Mapping[TopicPartition, Position]


@dataclass(frozen=True, slots=True)
class Contents:
    """`running`: groups with a member whose lease has not run out."""

    groups: Sequence[Group]
    publishers: Mapping[str, str]
    running: frozenset[str]


def read_contents(path: Path) -> Contents:
    """Of the file as it is now; it is not changed."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
        found = [
            Group(
                name,
                tuple(topics.split(",")),
                {
                    TopicPartition(topic, partition): Position(next_offset, metadata)
                    for topic, partition, next_offset, metadata in database.execute(
                        "select t.name, p.partition, p.next_offset, p.metadata from position p"
                        " join topic t on t.id = p.topic where p.grp = ?",
                        (name,),
                    )
                },
            )
            for name, topics in database.execute("select name, topics from grp order by name")
        ]
        publishers = dict(database.execute("select name, cursor from publisher"))
        running = database.execute(
            "select distinct grp from member where lease_until > ?", (boot_seconds(),)
        )
        return Contents(found, publishers, frozenset(name for (name,) in running))
