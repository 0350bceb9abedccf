"""The `suppressions` topic as a table of the store.

It is read from its beginning at every start. Rows that a whole reading did not bring again are
gone from the topic (a tombstone does not stay there for ever) and are removed when it has caught
up; until then they still count, so that nobody is free for a moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import apsw

from services.segmenter.people.withdrawals import EVERYTHING
from shared.clock import to_ms
from shared.errors import NeverRetry
from shared.log.record import Stored
from shared.wire.cloudevents import decode
from shared.wire.suppressions import Suppression

_BEGIN: Final = "select coalesce(max(reading), 0) + 1 from suppression"
_SET: Final = """
    insert into suppression(subject, scope, reason, at, reading) values (?, ?, ?, ?, ?)
    on conflict (subject, scope) do update set
        reason = excluded.reason, at = excluded.at, reading = excluded.reading"""
_LIFT: Final = "delete from suppression where subject = ? and scope = ?"
_FORGET: Final = "delete from suppression where reading < ?"
_REASON: Final = "select reason from suppression where subject = ? and scope = ?"


class SuppressionTable:
    """Follows one reading of the topic. Calls stand inside the caller's transactions."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Begins a reading: `apply` must now be given the topic from its beginning."""
        self._connection = connection
        ((self._reading,),) = connection.execute(_BEGIN)

    def apply(self, changes: Iterable[Stored]) -> list[str]:
        """Apply records of the topic, oldest first of each key. Any repetition is harmless.

        Returns a sentence for each record that cannot be read; its subject is suppressed all the
        same, since a withdrawal must never be lost.
        """
        complaints = []
        newest = {stored.key: stored for stored in changes if stored.key is not None}
        rows, lifted = [], []
        for key, stored in newest.items():
            subject, bar, scope = key.decode("utf-8", "replace").rpartition("|")
            if not bar:
                subject, scope = scope, EVERYTHING
            if stored.value is None:
                lifted.append((subject, scope))
                continue
            reason, at, complaint = _read(stored)
            rows.append((subject, scope, reason, at, self._reading))
            complaints += [complaint] if complaint else []
        if lifted:
            self._connection.executemany(_LIFT, sorted(lifted))
        if rows:
            self._connection.executemany(_SET, sorted(rows))
        return complaints

    def caught_up(self) -> int:
        """The topic has been read to its end: forget what it does not hold; how many rows."""
        self._connection.execute(_FORGET, (self._reading,))
        return self._connection.changes()


def reason_of(connection: apsw.Connection, subject: str, scope: str = EVERYTHING) -> str | None:
    """Why the subject is suppressed in that scope, or None."""
    for (reason,) in connection.execute(_REASON, (subject, scope)):
        return str(reason)
    return None


def _read(stored: Stored) -> tuple[str, int, str | None]:
    try:
        data = decode(stored).data
    except NeverRetry as error:
        return "unsubscribed", stored.timestamp_ms, str(error)
    if not isinstance(data, Suppression):
        where = f"{stored.topic}[{stored.partition}]@{stored.offset}"
        return "unsubscribed", stored.timestamp_ms, f"{where}: not a suppression"
    return data.reason, to_ms(data.at), None
