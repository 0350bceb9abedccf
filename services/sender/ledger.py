"""The ledger: every message ever taken in, in exactly one state, and the SQL that moves it.

ready -> attempting -> outcome. Outcomes only move up: whatever SES proves to have taken becomes
`accepted`, and nothing ever leaves `accepted`. All functions run inside a unit of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal

import apsw

from services.sender.last_look import Candidate
from services.sender.schema import PRIORITIES
from services.sender.settling import InDoubt
from shared.clock import to_ms
from shared.wire.batches import MessageBatch, RenderedMessage
from shared.wire.events import EventKind

CANDIDATE = (
    "rowid, message_id, send_id, occurrence, partition, supporter_id, address_key, variant,"
    " edition, topic, deadline_ms, sender, to_address, batch_id, entry, attempt"
)
FACT = (
    "message_id, send_id, occurrence, partition, supporter_id, variant, edition, attempt,"
    " state, reason, settled, ses_message_id, batch_id"
)


class Fact:
    """What an event about a message needs to say."""

    __slots__ = (
        "attempt", "batch_id", "edition", "message_id", "occurrence", "partition", "reason",
        "send_id", "ses_message_id", "settled", "state", "supporter_id", "variant",
    )  # fmt: skip

    def __init__(self, row: Sequence[object]) -> None:
        (self.message_id, self.send_id, self.occurrence, self.partition, self.supporter_id,
         self.variant, self.edition, self.attempt, self.state, self.reason, self.settled,
         self.ses_message_id, self.batch_id) = row  # type: ignore[assignment]  # fmt: skip

    message_id: str
    send_id: str
    occurrence: int
    partition: int
    supporter_id: str
    variant: str
    edition: str
    attempt: int
    state: EventKind
    reason: str | None
    settled: int
    ses_message_id: str | None
    batch_id: str | None


class Ledger:
    """The ledger over one connection, inside the transaction that the caller opened."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def take_in(self, batch: MessageBatch, content: bytes, now_ms: int) -> list[Fact]:
        """Write a rendered batch: `ready`, or at once final (refused, same inbox).

        A message already known is left as it is. Returns those that are final already.
        """
        finals: list[Fact] = []
        open_rows = 0
        for number, entry in enumerate(batch.entries):
            state, reason = _state_at_intake(entry)
            if not self._insert(entry, batch, number, state, reason, now_ms):
                if self._known(entry.message_id):
                    continue
                state, reason = "capped", "same inbox"
                if not self._insert(entry, batch, number, state, reason, now_ms):
                    continue
            if state == "ready":
                open_rows += 1
            else:
                finals.append(self.fact(entry.message_id))
        if open_rows:
            self._db.execute(
                "insert into batch values (?, ?, ?) on conflict do nothing",
                (batch.batch_id, content, open_rows),
            )
        return finals

    def pick(self, send_id: str, partitions: Iterable[int], limit: int) -> list[Candidate]:
        """Ready messages of one send in owned partitions, oldest first within a partition."""
        found: list[Candidate] = []
        for partition in partitions:
            if len(found) >= limit:
                break
            found.extend(
                Candidate(*row) for row in self._db.execute(
                    f"select {CANDIDATE} from message where state = 'ready' and send_id = ?"
                    " and partition = ? order by rowid limit ?",
                    (send_id, partition, limit - len(found)),
                )
            )  # fmt: skip
        return found

    def sends_with_ready(self) -> list[str]:
        """Sends that have ready messages: most urgent first, then the nearest deadline."""
        sends: list[tuple[int, int, int, str]] = []
        after = ""
        while True:
            row = next(
                self._db.execute(
                    "select send_id, priority, deadline_ms, rowid from message"
                    " where state = 'ready' and send_id > ? order by send_id limit 1",
                    (after,),
                ),
                None,
            )
            if row is None:
                break
            after, priority, deadline_ms, rowid = row
            sends.append((priority, deadline_ms or 2**62, rowid, after))
        return [send_id for *_, send_id in sorted(sends)]

    def attempt(self, rowids: Iterable[int], now_ms: int) -> None:
        """The intent: these will be called directly after this transaction."""
        self._db.executemany(
            "update message set state = 'attempting', attempt = attempt + 1, attempted_ms = ?,"
            " updated_ms = ? where rowid = ? and state = 'ready'",
            [(now_ms, now_ms, rowid) for rowid in rowids],
        )

    def accept(self, message_id: str, ses_message_id: str | None, now_ms: int) -> Fact | None:
        """SES has it, by its answer or by an event. None when that was known, or is no row of
        ours. Lifts every state: what SES took was sent, whatever we believed.
        """
        self._db.execute(
            "update message set state = 'accepted', settled = 1, reason = null, updated_ms = ?,"
            " ses_message_id = coalesce(?, ses_message_id)"
            " where message_id = ? and state <> 'accepted'",
            (now_ms, ses_message_id, message_id),
        )
        return self._close(message_id) if self._db.changes() else None

    def finish(
        self, message_id: str, state: EventKind, reason: str, now_ms: int, expected: str
    ) -> Fact | None:
        """A final state other than accepted, if the row is still in `expected`.

        A message that was attempted before and is still in doubt (not settled) can end only as
        unconfirmed, whatever stopped or refused the second attempt.
        """
        self._db.execute(
            "update message set settled = 1, updated_ms = ?,"
            " state = iif(settled = 0, 'unconfirmed', ?),"
            " reason = iif(settled = 0, 'not resent: ' || ?, ?)"
            " where message_id = ? and state = ?",
            (now_ms, state, reason, reason, message_id, expected),
        )
        return self._close(message_id) if self._db.changes() else None

    def doubt(self, message_id: str, reason: str, settle_after_ms: int, now_ms: int) -> Fact | None:
        """SES may have it. Only from `attempting`: an event may have come before the answer."""
        self._db.execute(
            "update message set state = 'unconfirmed', settled = 0, reason = ?,"
            " settle_after_ms = ?, updated_ms = ? where message_id = ? and state = 'attempting'",
            (reason, settle_after_ms, now_ms, message_id),
        )
        return self.fact(message_id) if self._db.changes() else None

    def put_back(self, message_id: str, now_ms: int) -> None:
        """SES certainly did not take it: ready again, and the attempt does not count."""
        self._db.execute(
            "update message set state = 'ready', attempt = attempt - 1, updated_ms = ?"
            " where message_id = ? and state = 'attempting'",
            (now_ms, message_id),
        )

    def doubt_interrupted(self, partition: int, settle_after_ms: int, now_ms: int) -> list[Fact]:
        """After taking a partition: what an earlier owner was calling for is in doubt."""
        ids = [
            message_id for (message_id,) in self._db.execute(
                "select message_id from message where state = 'attempting' and partition = ?",
                (partition,),
            )
        ]  # fmt: skip
        found = (self.doubt(i, "interrupted during the call", settle_after_ms, now_ms) for i in ids)
        return [fact for fact in found if fact is not None]

    def in_doubt(self, partitions: Sequence[int], limit: int) -> list[InDoubt]:
        """Unsettled messages of owned partitions, those due first."""
        marks = ",".join("?" * len(partitions))
        return [
            InDoubt(row[0], row[1], row[2], bool(row[3]), *row[4:])
            for row in self._db.execute(
                "select rowid, message_id, send_id, resend, attempt, attempted_ms,"
                " settle_after_ms, deadline_ms, partition from message"
                f" where state = 'unconfirmed' and settled = 0 and partition in ({marks})"
                " order by settle_after_ms limit ?",
                (*partitions, limit),
            )
        ]

    def settled_unconfirmed(
        self, send_id: str, ordered_ms: int, partitions: Sequence[int]
    ) -> list[InDoubt]:
        """Left in doubt before an operator's order to resend, in owned partitions."""
        marks = ",".join("?" * len(partitions))
        return [
            InDoubt(row[0], row[1], row[2], bool(row[3]), *row[4:])
            for row in self._db.execute(
                "select rowid, message_id, send_id, resend, attempt, attempted_ms,"
                " settle_after_ms, deadline_ms, partition from message where send_id = ?"
                " and state = 'unconfirmed' and settled = 1 and updated_ms < ? and attempt < 2"
                f" and partition in ({marks})",
                (send_id, ordered_ms, *partitions),
            )
        ]

    def leave(self, message_id: str, reason: str, now_ms: int) -> Fact | None:
        """Settle as unconfirmed."""
        self._db.execute(
            "update message set settled = 1, reason = ?, updated_ms = ?"
            " where message_id = ? and state = 'unconfirmed'",
            (reason, now_ms, message_id),
        )
        return self.fact(message_id) if self._db.changes() else None

    def resend(self, message_id: str, reason: str, now_ms: int) -> Fact | None:
        """Ready once more, on the record. `settled` 0 keeps in mind that it is in doubt.

        The fact says so of the attempt that follows, so that the books are open again.
        """
        self._db.execute(
            "update message set state = 'ready', settled = 0, reason = ?, updated_ms = ?"
            " where message_id = ? and state = 'unconfirmed'",
            (reason, now_ms, message_id),
        )
        if not self._db.changes():
            return None
        fact = self.fact(message_id)
        fact.state, fact.attempt = "unconfirmed", fact.attempt + 1
        return fact

    def overdue(self, before_ms: int, partitions: Sequence[int], limit: int) -> list[str]:
        """Ready messages whose effective deadline has passed."""
        marks = ",".join("?" * len(partitions))
        return self._ids(
            "select message_id from message where state = 'ready' and deadline_ms is not null"
            f" and deadline_ms <= ? and partition in ({marks}) limit ?",
            (before_ms, *partitions, limit),
        )

    def ready_of(self, send_id: str, partitions: Sequence[int], limit: int) -> list[str]:
        """Ready messages of one send."""
        marks = ",".join("?" * len(partitions))
        return self._ids(
            "select message_id from message where state = 'ready' and send_id = ?"
            f" and partition in ({marks}) limit ?",
            (send_id, *partitions, limit),
        )

    def content(self, batch_id: str) -> bytes | None:
        """The stored value of the messages batch: JSON, zstd."""
        for (content,) in self._db.execute(
            "select content from batch where batch_id = ?", (batch_id,)
        ):
            return bytes(content)
        return None

    def fact(self, message_id: str) -> Fact:
        """The row, as an event tells it. Raises KeyError when there is none."""
        for row in self._db.execute(
            f"select {FACT} from message where message_id = ?", (message_id,)
        ):
            return Fact(row)
        raise KeyError(message_id)

    def hold(self, send_id: str, reason: str, now_ms: int) -> None:
        """Hold a send until an operator resumes it."""
        self._db.execute(
            "insert into send_hold values (?, ?, ?) on conflict do update"
            " set reason = excluded.reason, at_ms = excluded.at_ms",
            (send_id, reason, now_ms),
        )

    def unhold(self, send_id: str, before_ms: int) -> None:
        """Lift a hold that is older than an operator's order."""
        self._db.execute(
            "delete from send_hold where send_id = ? and at_ms < ?", (send_id, before_ms)
        )

    def holds(self) -> dict[str, str]:
        """Held sends and why."""
        return dict(self._db.execute("select send_id, reason from send_hold"))

    def note_event(self, partition: int, at: datetime) -> None:
        """A SES event of that time was read: the channel is alive."""
        self._db.execute(
            "insert into channel values (?, ?) on conflict do update"
            " set last_event_ms = max(last_event_ms, excluded.last_event_ms)",
            (partition, to_ms(at)),
        )

    def channel_ms(self) -> int:
        """Time of the newest SES event read, 0 before the first."""
        ((newest,),) = self._db.execute("select coalesce(max(last_event_ms), 0) from channel")
        return int(newest)

    def _insert(
        self,
        entry: RenderedMessage,
        batch: MessageBatch,
        number: int,
        state: str,
        reason: str | None,
        now_ms: int,
    ) -> bool:
        """False when a unique index of the ledger refuses it."""
        self._db.execute(
            "insert into message(message_id, send_id, occurrence, partition, supporter_id,"
            " address_key, variant, edition, topic, priority, deadline_ms, per_inbox, resend,"
            " sender, to_address, batch_id, entry, state, reason, updated_ms)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " on conflict do nothing",
            (
                entry.message_id, entry.send_id, entry.occurrence, batch.partition,
                entry.supporter_id, entry.address_key, entry.variant, entry.edition, entry.topic,
                PRIORITIES[entry.priority], entry.deadline and to_ms(entry.deadline),
                int(entry.per_inbox), int(entry.resend_unconfirmed), entry.sender, entry.to,
                batch.batch_id if state == "ready" else None, number, state, reason, now_ms,
            ),
        )  # fmt: skip
        return bool(self._db.changes())

    def _known(self, message_id: str) -> bool:
        return bool(self._ids("select message_id from message where message_id = ?", (message_id,)))

    def _close(self, message_id: str) -> Fact:
        """After a final state: the batch's content goes when no row needs it any more.

        What is unconfirmed keeps it, since an operator may still order it resent.
        """
        fact = self.fact(message_id)
        if fact.batch_id is not None and fact.state != "unconfirmed":
            self._db.execute(
                "update message set batch_id = null where message_id = ?", (message_id,)
            )
            self._db.execute(
                "update batch set open = open - 1 where batch_id = ?", (fact.batch_id,)
            )
            self._db.execute("delete from batch where batch_id = ? and open <= 0", (fact.batch_id,))
        return fact

    def _ids(self, sql: str, values: Sequence[str | int]) -> list[str]:
        return [message_id for (message_id,) in self._rows(sql, values)]

    def _rows(self, sql: str, values: Sequence[str | int]) -> Iterator[tuple[str]]:
        yield from self._db.execute(sql, values)


def _state_at_intake(entry: RenderedMessage) -> tuple[EventKind | Literal["ready"], str | None]:
    """(state, reason). What SES could not be given is refused here, by name."""
    if not entry.mail:
        return "failed", entry.refusal or "rendered to nothing"
    if not entry.mail.isascii():
        return "failed", "the rendered mail is not ASCII"
    return "ready", None
