"""The `suppressions` topic as a table of the store.

It is read from its beginning at every start. Rows that a whole reading did not bring again are
gone from the topic (a tombstone does not stay there for ever) and are removed when it has caught
up; until then they still count, so that nobody is free for a moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import apsw

from services.segmenter.people.withdrawals import EVERYTHING
from shared.clock import to_ms
from shared.errors import NeverRetry
from shared.log.record import Stored
from shared.observability.logs import Journal
from shared.store.sqlite import SqliteStore
from shared.wire.cloudevents import decode
from shared.wire.suppressions import Suppression

_BEGIN: Final = "select coalesce(max(reading), 0) + 1 from suppression"
_SET: Final = """
    insert into suppression(subject, scope, reason, at, reading) values (?, ?, ?, ?, ?)
    on conflict (subject, scope) do update set
        reason = excluded.reason, at = excluded.at, reading = excluded.reading"""
_LIFT: Final = "delete from suppression where subject = ? and scope = ?"
_FORGET: Final = "delete from suppression where reading < ?"
_REASONS: Final = """
    select subject, reason from suppression
    where subject in (select value from json_each(?)) and scope in (select value from json_each(?))
    order by scope desc"""
_REASON: Final = "select reason from suppression where subject = ? and scope = ?"


class Suppressions:
    """One reading of the topic, from its beginning, into the store. Used by one thread."""

    def __init__(self, store: SqliteStore) -> None:
        """Begins a reading: what is applied must now start with the topic's first record."""
        self._store = store
        self._journal = Journal("people.suppressions")
        self.unreadable: list[tuple[Stored, NeverRetry]] = []
        ((self._reading,),) = store.connection.execute(_BEGIN)

    def apply(self, stored: Stored) -> None:
        """Apply one record, in a transaction of its own."""
        self.apply_all((stored,))

    def apply_all(self, records: Iterable[Stored]) -> None:
        """Apply records, oldest first of each key, in one transaction. Repetition is harmless.

        A record that cannot be read suppresses its subject all the same, since a withdrawal must
        never be lost.
        """
        newest = {stored.key: stored for stored in records if stored.key is not None}
        if not newest:
            return
        lifted, rows = [], []
        for key, stored in sorted(newest.items()):
            subject, bar, scope = key.decode("utf-8", "replace").rpartition("|")
            if not bar:
                subject, scope = scope, EVERYTHING
            if stored.value is None:
                lifted.append((subject, scope))
            else:
                rows.append((subject, scope, *self._read(stored), self._reading))
        with self._store.unit() as unit:
            unit.connection.executemany(_LIFT, lifted)
            unit.connection.executemany(_SET, rows)

    def caught_up(self) -> int:
        """The topic has been read to its end: forget what it does not hold; how many rows."""
        with self._store.unit() as unit:
            unit.connection.execute(_FORGET, (self._reading,))
            return unit.connection.changes()

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


def reason_of(connection: apsw.Connection, subject: str, scope: str = EVERYTHING) -> str | None:
    """Why the subject is suppressed in that scope, or None."""
    for (reason,) in connection.execute(_REASON, (subject, scope)):
        return str(reason)
    return None


def reasons_of(
    connection: apsw.Connection, subjects: Iterable[str], scopes: Iterable[str] = (EVERYTHING,)
) -> dict[str, str]:
    """Why each of the subjects is suppressed in one of the scopes; the others are absent."""
    asked = (json.dumps(list(subjects)), json.dumps(list(scopes)))
    return dict(connection.execute(_REASONS, asked))
