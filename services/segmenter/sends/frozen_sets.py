"""The SQL of frozen sets: who was meant to get a message, and what became of it.

Books are sets: frozen minus final is open, with names. All functions run inside the caller's unit.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.segmenter.people.ownership import Owned, among
from services.segmenter.people.upserts import Type, Upsert
from services.segmenter.sends.audience_batches import Frozen
from shared.store.database import Database, copy_rows, dialect_of
from shared.wire.events import Event
from shared.wire.suppressions import FOR_NOW

_TYPES: Final[dict[str, Type]] = {
    "send_id": "text", "occurrence": "bigint", "supporter_id": "text", "partition": "bigint",
    "message_id": "text", "address_key": "text", "variant": "text", "edition": "text",
    "areas": "text", "state": "text", "reason": "text", "frozen_ms": "bigint",
}  # fmt: skip
COLUMNS: Final = tuple(_TYPES)
"""Of a row that is frozen; `areas` is JSON."""

FROZEN: Final = Upsert("frozen", _TYPES, ("send_id", "occurrence", "supporter_id"))

_OPEN: Final = """
    select send_id, supporter_id, partition from frozen
    where supporter_id in (select value from json_each(?))
    and (state is null or (state = 'unconfirmed' and settled = 0))"""


@dataclass(slots=True)
class Counts:
    """Of a part: frozen, released, finals by state; what is in doubt and unsettled is not final."""

    frozen: int = 0
    released: int = 0
    finals: dict[str, int] = field(default_factory=dict)


class FrozenSets:
    """Over one connection."""

    def __init__(self, connection: Database) -> None:
        self._db = connection

    def begin(
        self, send_id: str, occurrence: int, partition: int, state: str, as_of_ms: int
    ) -> bool:
        """Open the part of a send in a partition; False when it was there."""
        self._db.execute(
            "insert into send_part(send_id, occurrence, partition, state, as_of_ms, dirty)"
            " values (?, ?, ?, ?, ?, 1) on conflict do nothing",
            (send_id, occurrence, partition, state, as_of_ms),
        )
        return bool(self._db.changes())

    def begun(self, partitions: Iterable[int]) -> set[tuple[str, int]]:
        """(send, partition) of the parts of these partitions, whatever became of them."""
        found = self._db.execute(
            "select send_id, partition from send_part where occurrence = 0"
            f" and {among('partition', partitions)}"
        )
        return {(send_id, partition) for send_id, partition in found}

    def fill(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of a part that was begun in this unit; see `add`."""
        copy_rows(self._db, "frozen", COLUMNS, rows)

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of COLUMNS. Who is there already stays."""
        FROZEN.write(self._db, rows)

    def unreleased(self, send_id: str, occurrence: int, partition: int, limit: int) -> list[Frozen]:
        """The next rows to release, in order of rank and supporter id."""
        return [
            Frozen(*row)
            for row in self._db.execute(
                "select supporter_id, partition, message_id, address_key, variant, edition"
                f" from frozen {self._by('frozen_unreleased')}"
                " where send_id = ? and occurrence = ? and partition = ?"
                " and released = 0 and state is null order by rank, supporter_id limit ?",
                (send_id, occurrence, partition, limit),
            )
        ]

    def rank(self, send_id: str, occurrence: int, ranks: Mapping[str, int]) -> None:
        """Who is released before and after others: supporter to rank, the lowest first."""
        self._each(
            "update frozen set rank = ? where send_id = ? and occurrence = ? and supporter_id = ?",
            [(rank, send_id, occurrence, one) for one, rank in ranks.items()],
        )

    def outstanding(self, send_id: str, occurrence: int, partition: int) -> int:
        """Released and not yet answered."""
        ((number,),) = self._db.execute(
            f"select count(*) from frozen {self._by('frozen_outstanding')}"
            " where send_id = ? and occurrence = ? and partition = ?"
            " and state is null and released = 1",
            (send_id, occurrence, partition),
        )
        return int(number)

    # One by one, by the whole key, and in one round trip: for a list of people PostgreSQL may read
    # the whole set instead, as long as its statistics do not know the send.

    def release(
        self, send_id: str, occurrence: int, supporter_ids: Iterable[str], now_ms: int
    ) -> None:
        self._each(
            "update frozen set released = 1, released_ms = ?"
            " where send_id = ? and occurrence = ? and supporter_id = ?",
            [(now_ms, send_id, occurrence, supporter_id) for supporter_id in supporter_ids],
        )

    def finish(
        self, send_id: str, occurrence: int, supporter_ids: Iterable[str], state: str, reason: str
    ) -> None:
        """A final state reached before release."""
        self._each(
            "update frozen set state = ?, reason = ?"
            " where send_id = ? and occurrence = ? and supporter_id = ? and state is null",
            [(state, reason, send_id, occurrence, one) for one in supporter_ids],
        )

    def outcomes(self, events: Iterable[Event]) -> None:
        """What the sender reports. `accepted` stands for ever; what is in doubt may be lifted, and
        what failed may have been sent again.
        """
        self._each(
            "update frozen set state = ?, settled = ?, reason = ?"
            " where send_id = ? and occurrence = ? and supporter_id = ?"
            " and (state is null or state in ('unconfirmed', 'failed') or ? = 'accepted')",
            [
                (e.kind, int(e.settled), e.reason, e.send_id, e.occurrence, e.supporter_id, e.kind)
                for e in events
            ],
        )  # fmt: skip

    def mark_dirty(self, parts: Iterable[tuple[str, int, int]]) -> None:
        """These parts (send, occurrence, partition) have progress to report."""
        self._each(
            "update send_part set dirty = 1"
            " where send_id = ? and occurrence = ? and partition = ? and dirty = 0",
            sorted(set(parts)),
        )

    def dirty(self, partitions: Iterable[int], before_ms: int) -> dict[tuple[str, int], list[int]]:
        """Parts of these partitions with news whose last report is older: by (send, occurrence)."""
        found: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for send_id, occurrence, partition in self._db.execute(
            "select send_id, occurrence, partition from send_part"
            f" where dirty = 1 and reported_ms < ? and {among('partition', partitions)}"
            " order by send_id, occurrence, partition",
            (before_ms,),
        ):
            found[send_id, occurrence].append(partition)
        return found

    def reported(
        self, send_id: str, occurrence: int, partitions: Iterable[int], now_ms: int
    ) -> None:
        self._db.execute(
            "update send_part set dirty = 0, reported_ms = ? where send_id = ? and occurrence = ?"
            f" and {among('partition', partitions)}",
            (now_ms, send_id, occurrence),
        )

    def counts(self, send_id: str, occurrence: int, partitions: Iterable[int]) -> dict[int, Counts]:
        """Of each of these partitions."""
        found = {partition: Counts() for partition in partitions}
        for partition, state, settled, out, number in self._db.execute(
            "select partition, state, settled, released, count(*) from frozen"
            f" where send_id = ? and occurrence = ? and {among('partition', found)}"
            " group by partition, state, settled, released",
            (send_id, occurrence),
        ):
            counts = found[partition]
            counts.frozen += number
            counts.released += number if out else 0
            if state is not None and settled:
                counts.finals[state] = counts.finals.get(state, 0) + number
        return found

    def open_sends_of(self, supporter_ids: Sequence[str]) -> list[tuple[str, str, int]]:
        """(send, supporter, partition) of rows of these supporters that are still open."""
        return [
            (send_id, supporter_id, partition)
            for send_id, supporter_id, partition in self._db.execute(
                _OPEN, (json.dumps(list(supporter_ids)),)
            )
        ]

    def newly_qualified(
        self, send_id: str, topic: str, segment: str, since_ms: int, owned: Owned, limit: int
    ) -> dict[int, list[str]]:
        """Owned partition to its mailable members of a live segment since then who are not in the
        frozen set yet.
        """
        found: dict[int, list[str]] = {}
        scopes = ("everything", FOR_NOW, f"topic:{topic}", f"send:{send_id}")
        suppressed = (
            "exists (select 1 from suppression x where x.subject = {} and x.scope in (?, ?, ?, ?))"
        )
        for supporter_id, partition in self._db.execute(
            "select m.supporter_id, m.partition from membership m"
            " join supporter s on s.supporter_id = m.supporter_id"
            f" where m.segment = ? and {owned.sql('m.partition')} and m.since >= ?"
            " and s.standing = 'mailable'"
            f" and not {suppressed.format('s.supporter_id')}"
            f" and not {suppressed.format('s.address_key')}"
            " and not exists (select 1 from frozen f where f.send_id = ?"
            "  and f.occurrence = 0 and f.supporter_id = m.supporter_id)"
            " order by m.supporter_id limit ?",
            (segment, since_ms, *scopes, *scopes, send_id, limit),
        ):
            found.setdefault(partition, []).append(supporter_id)
        return found

    def _by(self, index: str) -> str:
        """SQLite has to be told: by its primary key it would read the whole send for each page."""
        return f"indexed by {index}" if dialect_of(self._db) == "sqlite" else ""

    def _each(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self._db.executemany(sql, rows)
