"""Forgets people who were erased: where they are reached, and what was rendered for them.

A row keeps its message, its state and its pseudonymous ids, so that the books still balance. What
is ready ends as suppressed; what SES is being called for is waited for; what is in doubt ends as
ever, but is never sent again, for the last look lets nothing go that has no address. Whom to forget
is on `suppressions` for ever, so nothing is kept of that here: all of it is looked for after every
start and for every number taken, by indexes that hold only rows with an address.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from services.sender.contents import batch_without, content_without
from services.sender.last_look import ERASED
from services.sender.ledger import LISTED, NUMBERS_LISTED, Ledger
from services.sender.outcomes import tell
from shared.clock import to_ms
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.store.database import Database
from shared.store.port import Store, Unit
from shared.wire.batches import MAX_ENTRIES, MessageBatch

SUBJECTS: Final = 500
ROWS: Final = 50
"""At most so many are asked for, and so many rows forgotten, in one turn of the loop."""
ANSWER_MS: Final = 500
"""How often to look whether SES has answered."""


class Reachable(NamedTuple):
    """A row that says where its person is reached."""

    entry_no: int
    message_id: str
    partition: int
    state: str


class Forgetting:
    """Used by the loop's thread. `erased` is the newest view of whom to forget: supporter ids and
    address keys.
    """

    def __init__(
        self,
        store: Store[Unit],
        erased: Callable[[], frozenset[str]],
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self._store, self._erased = store, erased
        self._fail_points, self._metrics = fail_points, metrics
        self._journal = Journal("sender.forgetting")
        self._known: frozenset[str] = frozenset()
        self._due: set[str] = set()
        self._next_ms = 0

    def assigned(self) -> None:
        """Numbers were taken: what their rows say of anybody erased is to be forgotten."""
        self._due |= self._known

    def batch_without_erased(
        self, batch: MessageBatch, content: bytes
    ) -> tuple[MessageBatch, bytes]:
        """What may be taken in of a batch that came after the suppression."""
        return batch_without(batch, content, self._known)

    def tick(self, now: datetime) -> None:
        """Forget a part of what is due. Nothing is asked of the store when nothing is."""
        erased = self._erased()
        if erased is not self._known:
            self._due |= erased - self._known
            self._known = erased
        owned = sorted(self._store.owned())
        if not self._due or not owned or to_ms(now) < self._next_ms:
            return
        subjects = list(islice(self._due, SUBJECTS))
        found = reachable(self._store.connection, subjects, owned, ROWS)
        answered = [row for row in found if row.state != "attempting"]
        if not found:
            self._due.difference_update(subjects)
        elif answered:
            self._forget(answered, frozenset(subjects), now)
        else:
            self._next_ms = to_ms(now) + ANSWER_MS

    def _forget(self, found: Sequence[Reachable], subjects: frozenset[str], now: datetime) -> None:
        # Read and packed before the unit, which others wait for: nobody else rewrites a batch.
        contents = _contents_without(self._store.connection, found, subjects)
        with self._store.unit() as unit:
            unit.check(*(row.partition for row in found))
            facts = Ledger(unit.connection).finish(
                [(row.message_id, "suppressed", ERASED) for row in found],
                to_ms(now),
                expected="ready",
            )
            tell(unit, facts, now, self._metrics)
            forget(unit.connection, (row.entry_no for row in found), contents)
            self._fail_points.reach("sender.forget.before_commit")
        self._fail_points.reach("sender.forget.after_commit")
        self._journal.info("sender.forgotten", rows=len(found), batches=len(contents))


def reachable(
    database: Database, subjects: Sequence[str], partitions: Sequence[int], limit: int
) -> list[Reachable]:
    """Rows of these people or inboxes that still have an address."""
    wanted, owned = json.dumps(subjects), json.dumps(partitions)
    part = (
        "select entry_no, message_id, partition, state from message where to_address <> ''"
        f" and {{}} {LISTED} and partition {NUMBERS_LISTED}"
    )
    return [
        Reachable(*row) for row in database.execute(
            f"{part.format('supporter_id')} union {part.format('address_key')} limit ?",
            (wanted, owned, wanted, owned, limit),
        )
    ]  # fmt: skip


def batches_beside(database: Database, found: Iterable[Reachable]) -> list[str]:
    """Batches that are kept and may have been taken in with one of these rows.

    A final row does not name its batch any more, but those that came with it do, and the numbers of
    a batch differ by less than its length.
    """
    near = MAX_ENTRIES - 1
    beside = database.executemany(
        "select distinct batch_id from message"
        " where entry_no between ? and ? and partition = ? and batch_id is not null",
        [(row.entry_no - near, row.entry_no + near, row.partition) for row in found],
    )
    return sorted({batch_id for (batch_id,) in beside})


def forget(
    database: Database, entry_numbers: Iterable[int], contents: Iterable[tuple[str, bytes]]
) -> None:
    """Rows lose their address, unless SES is being called for them by now; batches (id, value) get
    another value. Repetition is harmless.
    """
    database.execute(
        f"update message set to_address = '' where entry_no {NUMBERS_LISTED}"
        " and state <> 'attempting'",
        (json.dumps(list(entry_numbers)),),
    )
    database.executemany(
        "update batch set content = ? where batch_id = ?",
        [(content, batch_id) for batch_id, content in contents],
    )


def _contents_without(
    database: Database, found: Iterable[Reachable], subjects: frozenset[str]
) -> list[tuple[str, bytes]]:
    ledger, rewritten = Ledger(database), []
    for batch_id in batches_beside(database, found):
        content = ledger.content(batch_id)
        rest = None if content is None else content_without(content, subjects)
        if rest is not None:
            rewritten.append((batch_id, rest))
    return rewritten
