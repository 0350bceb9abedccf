"""The SQL of frozen sets: who was meant to get a message, and what became of it.

Books are sets: frozen minus final is open, with names. All functions run inside the caller's unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from services.segmenter.sends.audience_batches import Frozen
from shared.wire.events import Event


class FrozenSets:
    """Over one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
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

    def parts(self, partition: int) -> dict[tuple[str, int], str]:
        """(send, occurrence) to state, of one partition."""
        return {
            (send_id, occurrence): state
            for send_id, occurrence, state in self._db.execute(
                "select send_id, occurrence, state from send_part where partition = ?",
                (partition,),
            )
        }

    def move(self, send_id: str, occurrence: int, partition: int, state: str) -> None:
        self._db.execute(
            "update send_part set state = ?, dirty = 1"
            " where send_id = ? and occurrence = ? and partition = ?",
            (state, send_id, occurrence, partition),
        )

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of (send, occurrence, supporter, partition, message, address key, variant,
        edition, areas JSON, state, reason, frozen_ms).
        """
        self._db.executemany(
            "insert into frozen(send_id, occurrence, supporter_id, partition, message_id,"
            " address_key, variant, edition, areas, state, reason, frozen_ms)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
            rows,
        )

    def unreleased(self, send_id: str, occurrence: int, partition: int, limit: int) -> list[Frozen]:
        """The next rows to release, in order of supporter id."""
        return [
            Frozen(*row)
            for row in self._db.execute(
                "select supporter_id, partition, message_id, address_key, variant, edition"
                " from frozen where send_id = ? and occurrence = ? and partition = ?"
                " and released = 0 and state is null order by supporter_id limit ?",
                (send_id, occurrence, partition, limit),
            )
        ]

    def outstanding(self, send_id: str, occurrence: int, partition: int) -> int:
        """Released and not yet answered."""
        ((number,),) = self._db.execute(
            "select count(*) from frozen where send_id = ? and occurrence = ? and partition = ?"
            " and state is null and released = 1",
            (send_id, occurrence, partition),
        )
        return int(number)

    def release(self, send_id: str, occurrence: int, supporter_ids: Iterable[str]) -> None:
        self._db.executemany(
            "update frozen set released = 1"
            " where send_id = ? and occurrence = ? and supporter_id = ?",
            [(send_id, occurrence, supporter_id) for supporter_id in supporter_ids],
        )

    def finish(
        self, send_id: str, occurrence: int, supporter_id: str, state: str, reason: str
    ) -> None:
        """A final state reached before release."""
        self._db.execute(
            "update frozen set state = ?, reason = ?"
            " where send_id = ? and occurrence = ? and supporter_id = ? and state is null",
            (state, reason, send_id, occurrence, supporter_id),
        )

    def outcomes(self, events: Sequence[Event]) -> None:
        """What the sender reports. `accepted` stands for ever; what is in doubt may be lifted."""
        self._db.executemany(
            "update frozen set state = ?, settled = ?, reason = ?"
            " where send_id = ? and occurrence = ? and supporter_id = ?"
            " and (state is null or state = 'unconfirmed' or ? = 'accepted')",
            [
                (e.kind, int(e.settled), e.reason, e.send_id, e.occurrence, e.supporter_id, e.kind)
                for e in events
            ],
        )  # fmt: skip

    def mark_dirty(self, parts: Iterable[tuple[str, int, int]]) -> None:
        """These parts (send, occurrence, partition) have progress to report."""
        self._db.executemany(
            "update send_part set dirty = 1"
            " where send_id = ? and occurrence = ? and partition = ? and dirty = 0",
            list(parts),
        )

    def dirty(self, before_ms: int) -> list[tuple[str, int, int]]:
        """Parts with news whose last report is older."""
        return [
            (send_id, occurrence, partition)
            for send_id, occurrence, partition in self._db.execute(
                "select send_id, occurrence, partition from send_part"
                " where dirty = 1 and reported_ms < ?",
                (before_ms,),
            )
        ]

    def reported(self, send_id: str, occurrence: int, partition: int, now_ms: int) -> None:
        self._db.execute(
            "update send_part set dirty = 0, reported_ms = ?"
            " where send_id = ? and occurrence = ? and partition = ?",
            (now_ms, send_id, occurrence, partition),
        )

    def counts(
        self, send_id: str, occurrence: int, partition: int
    ) -> tuple[int, int, dict[str, int]]:
        """(frozen, released, finals by state); what is in doubt and unsettled is not final."""
        frozen = released = 0
        finals: dict[str, int] = {}
        for state, settled, out, number in self._db.execute(
            "select state, settled, released, count(*) from frozen"
            " where send_id = ? and occurrence = ? and partition = ? group by 1, 2, 3",
            (send_id, occurrence, partition),
        ):
            frozen += number
            released += number if out else 0
            if state is not None and settled:
                finals[state] = finals.get(state, 0) + number
        return frozen, released, finals

    def shape(self, send_id: str, occurrence: int, partition: int, column: str) -> dict[str, int]:
        """Frozen by `variant` or by `edition`."""
        if column not in {"variant", "edition"}:
            raise ValueError(column)
        return dict(
            self._db.execute(
                f"select {column}, count(*) from frozen"
                " where send_id = ? and occurrence = ? and partition = ? group by 1",
                (send_id, occurrence, partition),
            )
        )

    def open_sends_of(self, supporter_ids: Sequence[str]) -> list[tuple[str, str, int]]:
        """(send, supporter, partition) of rows of these supporters that are still open."""
        marks = ",".join("?" * len(supporter_ids))
        return [
            (send_id, supporter_id, partition)
            for send_id, supporter_id, partition in self._db.execute(
                "select send_id, supporter_id, partition from frozen"
                f" where supporter_id in ({marks})"
                " and (state is null or (state = 'unconfirmed' and settled = 0))",
                supporter_ids,
            )
        ]

    def newly_qualified(
        self, send_id: str, topic: str, segment: str, since_ms: int, limit: int
    ) -> dict[int, list[str]]:
        """Partition to mailable members of a live segment since then, not in the frozen set yet."""
        found: dict[int, list[str]] = {}
        for supporter_id, partition in self._db.execute(
            "select m.supporter_id, s.partition from membership m"
            " join supporter s on s.supporter_id = m.supporter_id"
            " where m.segment = ? and m.since >= ? and s.standing = 'mailable'"
            " and not exists (select 1 from suppression x"
            "  where x.subject in (m.supporter_id, s.address_key)"
            "  and x.scope in ('everything', 'topic:' || ?, 'send:' || ?))"
            " and not exists (select 1 from frozen f where f.send_id = ?"
            "  and f.occurrence = 0 and f.supporter_id = m.supporter_id)"
            " order by m.supporter_id limit ?",
            (segment, since_ms, topic, send_id, send_id, limit),
        ):
            found.setdefault(partition, []).append(supporter_id)
        return found
