"""The `suppressions` topic as a table of the store, which every segmenter of it keeps.

Each reads the topic from its beginning at every start, and each writes what it reads. A row knows
the record that made it, by its offset: an older record never undoes a newer one, however far apart
two readers are. Rows whose record a whole reading did not bring are gone from the topic (a
tombstone does not stay there for ever) and are removed when it has caught up; until then they
still count, so that nobody is free for a moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from services.segmenter.people.upserts import Upsert, taken_over
from services.segmenter.people.withdrawals import EVERYTHING
from shared.clock import to_ms
from shared.errors import NeverRetry
from shared.log.record import Stored
from shared.observability.logs import Journal
from shared.store.database import Database
from shared.store.port import Store, Unit
from shared.wire.cloudevents import decode
from shared.wire.suppressions import Suppression

Row = tuple[Any, ...]
CHUNK: Final = 5_000

_BEGIN: Final = "select coalesce(max(reading), 0) + 1 from suppression"
_NEWEST: Final = "select partition, max(log_offset) from suppression group by partition"
_ANOTHER_LOG: Final = "update suppression set log_offset = -1 where partition = ?"
# What another reader has brought from a newer record stands. Of two readings the later one marks:
# it proves that the record was on the topic more lately.
_SET: Final = Upsert(
    "suppression",
    {
        "subject": "text",
        "scope": "text",
        "reason": "text",
        "at": "bigint",
        "partition": "bigint",
        "log_offset": "bigint",
        "reading": "bigint",
    },
    ("subject", "scope"),
    f"""{taken_over("reason", "at", "partition", "log_offset")},
        reading = case when excluded.reading > suppression.reading then excluded.reading
            else suppression.reading end
    where excluded.log_offset >= suppression.log_offset""",
)
_LIFT: Final = "delete from suppression where subject = ? and scope = ? and log_offset <= ?"
_GONE: Final = """
    select subject, scope from suppression where partition = ? and log_offset < ? and reading < ?"""
_FORGET: Final = """
    delete from suppression
    where subject = ? and scope = ? and partition = ? and log_offset < ? and reading < ?"""
_REASONS: Final = """
    select subject, reason from suppression
    where subject in (select value from json_each(?)) and scope in (select value from json_each(?))
    order by scope desc"""
_REASON: Final = "select reason from suppression where subject = ? and scope = ?"


class Suppressions:
    """One reading of the topic, from its beginning, into the store. Used by one thread."""

    def __init__(self, store: Store[Unit], end_offsets: Callable[[], Mapping[int, int]]) -> None:
        """Begins a reading: what is applied must from now on start with the topic's first record.

        `end_offsets` of the topic, by partition.
        """
        self._store = store
        self._journal = Journal("people.suppressions")
        self.unreadable: list[tuple[Stored, NeverRetry]] = []
        ((self._reading,),) = store.connection.execute(_BEGIN)
        newest = dict(store.connection.execute(_NEWEST))
        # Asked after the rows: a row of this log has its record on it.
        self._ends = dict(end_offsets())
        self._distrust(newest)

    def apply(self, stored: Stored) -> None:
        """Apply one record, in a transaction of its own."""
        self.apply_all((stored,))

    def apply_all(self, records: Iterable[Stored]) -> None:
        """Apply records, oldest first of each key. Repetition is harmless, and so is a part of it.

        A record that cannot be read suppresses its subject all the same, since a withdrawal must
        never be lost.
        """
        newest = {stored.key: stored for stored in records if stored.key is not None}
        lifted: dict[tuple[str, str], Row] = {}
        rows: dict[tuple[str, str], Row] = {}
        for key, stored in newest.items():
            subject, bar, scope = _text(key).rpartition("|")
            if not bar:
                subject, scope = scope, EVERYTHING
            place = (stored.partition, stored.offset)
            if stored.value is None:
                lifted[subject, scope] = (subject, scope, stored.offset)
            else:
                said = self._read(stored)
                rows[subject, scope] = (subject, scope, *said, *place, self._reading)
        for some in _chunks(lifted.values()):
            with self._store.unit() as unit:
                unit.connection.executemany(_LIFT, some)
        for some in _chunks(rows.values()):
            with self._store.unit() as unit:
                _SET.write(unit.connection, some)

    def caught_up(self) -> int:
        """The topic has been read at least as far as it reached when the reading began: forget
        what it did not hold then; how many rows.
        """
        gone: list[Row] = []
        for partition, end in self._ends.items():
            old = (partition, end, self._reading)
            found = self._store.connection.execute(_GONE, old)
            gone += [(subject, scope, *old) for subject, scope in found]
        for some in _chunks(gone):
            with self._store.unit() as unit:
                unit.connection.executemany(_FORGET, some)
        return len(gone)

    def _distrust(self, newest: Mapping[int, int]) -> None:
        """Rows from beyond the end are of another log: any record of this one replaces them."""
        for partition, offset in sorted(newest.items()):
            if offset >= self._ends.get(partition, 0):
                with self._store.unit() as unit:
                    unit.connection.execute(_ANOTHER_LOG, (partition,))

    def _read(self, stored: Stored) -> tuple[str, int]:
        """Reason and time."""
        try:
            data = decode(stored).data
            if isinstance(data, Suppression):
                return data.reason, to_ms(data.at)
            refused = NeverRetry("not a suppression")
        except NeverRetry as error:
            refused = error
        self.unreadable.append((stored, refused))
        self._journal.error(
            "people.suppression_unreadable", partition=stored.partition, offset=stored.offset,
            reason=str(refused),
        )  # fmt: skip
        return "unsubscribed", stored.timestamp_ms


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Each for a transaction of its own, in order of the keys: so that no two readers wait for each
    other, and none waits long.
    """
    ordered = sorted(rows)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]


def _text(key: bytes) -> str:
    """A key as text that any database takes; what is changed by that was nobody's id."""
    return key.decode("utf-8", "replace").replace("\x00", "\ufffd")


def reason_of(connection: Database, subject: str, scope: str = EVERYTHING) -> str | None:
    """Why the subject is suppressed in that scope, or None."""
    for (reason,) in connection.execute(_REASON, (subject, scope)):
        return str(reason)
    return None


def reasons_of(
    connection: Database, subjects: Iterable[str], scopes: Iterable[str] = (EVERYTHING,)
) -> dict[str, str]:
    """Why each of the subjects is suppressed in one of the scopes; the others are absent."""
    asked = (json.dumps(list(subjects)), json.dumps(list(scopes)))
    return dict(connection.execute(_REASONS, asked))
