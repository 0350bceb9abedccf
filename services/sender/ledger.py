"""The ledger: every message ever taken in, in exactly one state, and the SQL that moves it.

ready -> attempting -> outcome. Outcomes only move up: whatever SES proves to have taken becomes
`accepted`, and nothing ever leaves `accepted`. All functions run inside a unit of the store,
and take many messages at once: a question over the network costs more than the work behind it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain

from services.sender.intake_rows import COLUMNS, IntakeRow, intake_rows
from services.sender.last_look import Candidate
from services.sender.schema import FIRST_NUMBER, ROWS_A_TURN
from services.sender.settling import InDoubt
from shared.store.database import Database, insert_new
from shared.wire.batches import MessageBatch
from shared.wire.events import EventKind

CANDIDATE = (
    "entry_no, message_id, send_id, occurrence, partition, supporter_id, address_key, variant,"
    " edition, topic, deadline_ms, sender, to_address, batch_id, entry, attempt"
)
FACT = (
    "message_id, send_id, occurrence, partition, supporter_id, variant, edition, attempt,"
    " state, reason, settled, ses_message_id, batch_id"
)
IN_DOUBT = (
    "message_id, send_id, partition, resend, attempt, attempted_ms, settle_after_ms, deadline_ms"
)
LISTED = "in (select value from json_each(?))"
RETRIABLE = (
    "state = 'failed' and settled = 1 and attempt > 0 and batch_id is not null and to_address <> ''"
)
"""SES was called and refused, and the rendered mail is still there."""
EVERYTHING = "*"
"""In the place of a send: held is all there is."""
SLOT_MS = 500
"""Witnesses are kept by slots of this length."""
NUMBERS_LISTED = "in (select cast(value as bigint) from json_each(?))"


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

    def __init__(self, database: Database) -> None:
        self._db = database

    def take_in(self, batches: Sequence[tuple[MessageBatch, bytes]], now_ms: int) -> list[Fact]:
        """Write rendered batches and their values: `ready`, or at once final (refused, same inbox).

        A message already known is left as it is. Returns those that are final already.
        """
        rows = intake_rows(batches, self.first_number(_entries(batches)), now_ms)
        new = self._insert(rows)
        refused = [row for row in rows if row.message_id not in new]
        known = self._known(row.message_id for row in refused)
        capped = [row.capped() for row in refused if row.message_id not in known]
        self._insert(capped)
        came = [row for row in rows if row.message_id in new]
        self._keep(batches, Counter(row.batch_id for row in came if row.batch_id))
        finals = [row for row in came if row.state != "ready"] + capped
        return self.facts(row.message_id for row in finals)

    def pick(
        self,
        send_id: str,
        partitions: Sequence[int],
        limit: int,
        each: int | None = None,
        passed: Callable[[str, int], int] = lambda _send_id, _partition: -1,
    ) -> list[Candidate]:
        """Ready messages of one send in these partitions, oldest first within a partition.

        At most `limit`, and at most `each` of one partition; without those up to the number that
        was `passed` in a partition.
        """
        if not partitions:
            return []
        most = limit if each is None else each
        values = chain.from_iterable(
            (send_id, partition, passed(send_id, partition), most) for partition in partitions
        )
        return [
            Candidate(*row) for row in self._db.execute(
                _picking(len(partitions)), (*values, limit)
            )
        ]  # fmt: skip

    def ready_rows(self, numbers: Sequence[int], partitions: Sequence[int]) -> list[Candidate]:
        """Of these rows, those that are ready and in these partitions, the oldest first."""
        found = self._db.execute(
            f"select {CANDIDATE} from message where entry_no {NUMBERS_LISTED} and state = 'ready'"
            f" and partition {NUMBERS_LISTED} order by entry_no",
            (json.dumps(numbers), json.dumps(partitions)),
        )
        return [Candidate(*row) for row in found]

    def sends_with_ready(self) -> list[str]:
        """Sends that have ready messages: most urgent first, then the nearest deadline."""
        found = self._db.execute(
            "with recursive sends(send_id) as ("
            " select min(send_id) from message where state = 'ready' union all"
            " select (select min(m.send_id) from message m"
            "  where m.state = 'ready' and m.send_id > sends.send_id)"
            " from sends where sends.send_id is not null)"
            " select m.priority, m.deadline_ms, m.entry_no, m.send_id"
            " from sends join message m on m.entry_no = (select f.entry_no from message f"
            "  where f.state = 'ready' and f.send_id = sends.send_id"
            "  order by f.partition, f.entry_no limit 1)"
        )
        sends = sorted((priority, deadline or 2**62, *rest) for priority, deadline, *rest in found)
        return [send_id for *_, send_id in sends]

    def attempt(self, candidates: Iterable[Candidate], now_ms: int) -> None:
        """The intent: these will be called directly after this transaction."""
        numbers = [candidate.entry_no for candidate in candidates]
        if numbers:
            self._db.execute(
                "update message set state = 'attempting', attempt = attempt + 1, attempted_ms = ?,"
                f" updated_ms = ? where entry_no {NUMBERS_LISTED} and state = 'ready'",
                (now_ms, now_ms, json.dumps(numbers)),
            )

    def accept(self, taken: Iterable[tuple[str, str | None]], now_ms: int) -> list[Fact]:
        """SES has these (message id, SES's id), by its answer or by an event.

        Without those of which that was known, or that are no rows of ours. Lifts every state: what
        SES took was sent, whatever we believed.
        """
        return self._closed(
            self._moved(
                "state = 'accepted', settled = 1, reason = null, updated_ms = ?,"
                " ses_message_id = coalesce(?, ses_message_id)"
                " where message_id = ? and state <> 'accepted'",
                [(now_ms, ses_message_id, message_id) for message_id, ses_message_id in taken],
            )
        )

    def hear(self, message_ids: Iterable[str], now_ms: int) -> set[str]:
        """SES told of these; those of our rows among them that `accept` would move."""
        found = self._db.execute(
            "update message set heard_ms = coalesce(heard_ms, ?)"
            f" where message_id {LISTED} and (heard_ms is null or state <> 'accepted')"
            " returning message_id, state",
            (now_ms, json.dumps(list(message_ids))),
        )
        return {message_id for message_id, state in found if state != "accepted"}

    def note_told(self, told_ms: Iterable[int]) -> None:
        """At these times something of SES reached us."""
        self._db.executemany(
            "insert into heard_slot(begin_ms) values (?) on conflict do nothing",
            [(begin_ms,) for begin_ms in sorted({at_ms // SLOT_MS * SLOT_MS for at_ms in told_ms})],
        )

    def witnessed(self, after_ms: int, until_ms: int) -> bool:
        """Whether something of SES reached us between the two."""
        return self._any(
            "select 1 from heard_slot where begin_ms > ? and begin_ms <= ? limit 1",
            after_ms, until_ms - SLOT_MS,
        )  # fmt: skip

    def unheard(self, from_ms: int, until_ms: int) -> bool:
        """Whether SES told nothing yet of a mail called between the two that it accepted."""
        return self._any(
            "select 1 from message where state = 'accepted' and heard_ms is null"
            " and attempted_ms >= ? and attempted_ms <= ? limit 1",
            from_ms, until_ms,
        )  # fmt: skip

    def forget_heard(self, before_ms: int) -> None:
        """Drop the witnesses of long ago."""
        self._db.execute("delete from heard_slot where begin_ms < ?", (before_ms,))

    def finish(
        self, ends: Iterable[tuple[str, EventKind, str]], now_ms: int, expected: str
    ) -> list[Fact]:
        """Final states other than accepted (message id, state, reason), of rows in `expected`.

        A message that was attempted before and is still in doubt (not settled) can end only as
        unconfirmed, whatever stopped or refused the second attempt.
        """
        return self._closed(
            self._moved(
                "settled = 1, updated_ms = ?,"
                " state = case when settled = 0 then 'unconfirmed' else ? end,"
                " reason = case when settled = 0 then 'not resent: ' || ? else ? end"
                " where message_id = ? and state = ?",
                [
                    (now_ms, state, reason, reason, message_id, expected)
                    for message_id, state, reason in ends
                ],
            )
        )

    def doubt(
        self, reasons: Iterable[tuple[str, str]], settle_after_ms: int, now_ms: int
    ) -> list[Fact]:
        """SES may have these (message id, reason). Only from `attempting`: an event may have come
        before the answer.
        """
        return self._moved(
            "state = 'unconfirmed', settled = 0, reason = ?, settle_after_ms = ?, updated_ms = ?"
            " where message_id = ? and state = 'attempting'",
            [(reason, settle_after_ms, now_ms, message_id) for message_id, reason in reasons],
        )

    def put_back(self, message_ids: Iterable[str], now_ms: int) -> None:
        """SES certainly did not take them: ready again, and the attempt does not count."""
        listed = list(message_ids)
        if listed:
            self._db.execute(
                "update message set state = 'ready', attempt = attempt - 1, updated_ms = ?"
                f" where message_id {LISTED} and state = 'attempting'",
                (now_ms, json.dumps(listed)),
            )

    def doubt_interrupted(
        self, partitions: Iterable[int], settle_after_ms: int, now_ms: int
    ) -> list[Fact]:
        """After taking partitions: what an earlier owner was calling for is in doubt."""
        ids = self._ids(
            "select message_id from message where state = 'attempting'"
            f" and partition {NUMBERS_LISTED}",
            json.dumps(list(partitions)),
        )
        reasons = [(message_id, "interrupted during the call") for message_id in sorted(ids)]
        return self.doubt(reasons, settle_after_ms, now_ms)

    def in_doubt(self, partitions: Sequence[int], limit: int) -> list[InDoubt]:
        """Unsettled messages of owned partitions, those due first."""
        return [
            InDoubt(*row)
            for row in self._db.execute(
                f"select {IN_DOUBT} from message"
                f" where state = 'unconfirmed' and settled = 0 and partition {NUMBERS_LISTED}"
                " order by settle_after_ms limit ?",
                (json.dumps(partitions), limit),
            )
        ]

    def settled_unconfirmed(
        self, send_id: str, ordered_ms: int, partitions: Sequence[int]
    ) -> list[InDoubt]:
        """Left in doubt in owned partitions before an operator's order to resend."""
        return [
            InDoubt(*row)
            for row in self._db.execute(
                f"select {IN_DOUBT} from message where send_id = ?"
                " and state = 'unconfirmed' and settled = 1 and updated_ms < ? and attempt < 2"
                f" and partition {NUMBERS_LISTED}",
                (send_id, ordered_ms, json.dumps(partitions)),
            )
        ]

    def leave(self, reasons: Iterable[tuple[str, str]], now_ms: int) -> list[Fact]:
        """Settle these (message id, reason) as unconfirmed."""
        return self._moved(
            "settled = 1, reason = ?, updated_ms = ? where message_id = ?"
            " and state = 'unconfirmed'",
            [(reason, now_ms, message_id) for message_id, reason in reasons],
        )

    def resend(self, reasons: Iterable[tuple[str, str]], now_ms: int) -> list[Fact]:
        """These (message id, reason) are ready once more, on the record.

        `settled` 0 keeps in mind that they are in doubt. The facts say so of the attempt that
        follows, so that the books are open again.
        """
        facts = self._moved(
            "state = 'ready', settled = 0, reason = ?, updated_ms = ? where message_id = ?"
            " and state = 'unconfirmed'",
            [(reason, now_ms, message_id) for message_id, reason in reasons],
        )
        for fact in facts:
            fact.state, fact.attempt = "unconfirmed", fact.attempt + 1
        return facts

    def retry(
        self, send_id: str, ordered_ms: int, partitions: Sequence[int], last_ms: int, now_ms: int
    ) -> int:
        """Up to 500 that SES refused before an operator's order are ready once more; how many.

        Only what certainly was not taken: nothing in doubt, nothing that ended otherwise.
        `last_ms`: what is due by then is left as it is.
        """
        self._db.execute(
            "update message set state = 'ready', reason = null, updated_ms = ? where entry_no in ("
            f"select entry_no from message where {RETRIABLE} and send_id = ? and updated_ms < ?"
            " and (deadline_ms is null or deadline_ms > ?)"
            f" and partition {NUMBERS_LISTED} limit 500)",
            (now_ms, send_id, ordered_ms, last_ms, json.dumps(partitions)),
        )
        return self._db.changes()

    def overdue(self, before_ms: int, partitions: Sequence[int], limit: int) -> set[str]:
        """Ready messages whose effective deadline has passed."""
        return self._ids(
            "select message_id from message where state = 'ready' and deadline_ms is not null"
            f" and deadline_ms <= ? and partition {NUMBERS_LISTED} limit ?",
            before_ms, json.dumps(partitions), limit,
        )  # fmt: skip

    def ready_of(self, send_id: str, partitions: Sequence[int], limit: int) -> set[str]:
        """Ready messages of one send."""
        return self._ids(
            "select message_id from message where state = 'ready' and send_id = ?"
            f" and partition {NUMBERS_LISTED} limit ?",
            send_id, json.dumps(partitions), limit,
        )  # fmt: skip

    def fill(self, rows: Sequence[IntakeRow], batch: tuple[MessageBatch, bytes]) -> list[str]:
        """Rows of one batch as they are known to be; those that were not there yet.

        One whose inbox is taken by another name of its send is capped, as at intake.
        """
        new = self._insert(rows)
        known = self._known(row.message_id for row in rows if row.message_id not in new)
        capped = [
            row.capped()
            for row in rows
            if row.message_id not in new and row.message_id not in known
        ]
        self._insert(capped)
        came = [row for row in rows if row.message_id in new]
        self._keep([batch], Counter(row.batch_id for row in came if row.batch_id))
        return [row.message_id for row in came]

    def restate(
        self,
        stated: Iterable[tuple[str, EventKind, str | None, int, int]],
        settle_after_ms: int,
        now_ms: int,
    ) -> None:
        """Rows as `events` told of them (message id, state, reason, settled, attempt), but for
        accepted. What is certain stays.
        """
        self._closed(
            self._moved(
                "state = ?, reason = ?, settled = ?, updated_ms = ?,"
                " attempt = case when attempt > ? then attempt else ? end, settle_after_ms = ?"
                " where message_id = ? and state in ('ready', 'attempting', 'unconfirmed')",
                [
                    (state, reason, settled, now_ms, attempt, attempt, settle_after_ms, m)
                    for m, state, reason, settled, attempt in stated
                ],
            )
        )

    def doubt_all(self, reason: str, settle_after_ms: int, now_ms: int, limit: int) -> int:
        """So many of what is ready or attempted become in doubt; how many did."""
        self._db.execute(
            "update message set state = 'unconfirmed', settled = 0, reason = ?, updated_ms = ?,"
            " attempt = case when attempt > 1 then attempt else 1 end, attempted_ms = null,"
            " settle_after_ms = ? where entry_no in (select entry_no from message"
            " where state in ('ready', 'attempting') limit ?)",
            (reason, now_ms, settle_after_ms, limit),
        )
        return self._db.changes()

    def after(self, entry_no: int, limit: int) -> list[tuple[int, str]]:
        """(number, message id) of the next rows."""
        return [
            (int(number), str(message_id))
            for number, message_id in self._db.execute(
                "select entry_no, message_id from message where entry_no > ?"
                " order by entry_no limit ?",
                (entry_no, limit),
            )
        ]

    def content(self, batch_id: str) -> bytes | None:
        """The stored value of the messages batch: JSON, zstd."""
        for (content,) in self._db.execute(
            "select content from batch where batch_id = ?", (batch_id,)
        ):
            return bytes(content)
        return None

    def facts(self, message_ids: Iterable[str]) -> list[Fact]:
        """The rows, as events tell them, in this order. Raises KeyError when one is not there."""
        wanted = list(message_ids)
        if not wanted:
            return []
        found = {
            row[0]: Fact(row)
            for row in self._db.execute(
                f"select {FACT} from message where message_id {LISTED}", (json.dumps(wanted),)
            )
        }
        return [found[message_id] for message_id in wanted]

    def hold(self, holds: Mapping[str, str], now_ms: int) -> None:
        """Hold sends (to the reason) until an operator resumes them."""
        self._db.executemany(
            "insert into send_hold(send_id, reason, at_ms) values (?, ?, ?)"
            " on conflict (send_id) do update set reason = excluded.reason, at_ms = excluded.at_ms",
            [(send_id, reason, now_ms) for send_id, reason in sorted(holds.items())],
        )

    def unhold(self, resumed_ms: Mapping[str, int]) -> None:
        """Lift holds that are older than an operator's order to go on."""
        self._db.executemany(
            "delete from send_hold where send_id = ? and at_ms < ?", sorted(resumed_ms.items())
        )

    def holds(self) -> dict[str, int]:
        """Held sends, and since when."""
        return dict(self._db.execute("select send_id, at_ms from send_hold"))

    def first_number(self, rows: int) -> int:
        """The number of the first row taken in now; the others follow it.

        Given by us, because rows go in by inbox and are sent in the order they came.
        """
        if rows > ROWS_A_TURN:
            raise ValueError(f"{rows} messages at once, at most {ROWS_A_TURN} have numbers")
        ((turn,),) = self._db.execute("insert into intake_turn default values returning turn_no")
        self._db.execute("delete from intake_turn where turn_no = ?", (turn,))
        return FIRST_NUMBER + int(turn) * ROWS_A_TURN

    def _insert(self, rows: Sequence[IntakeRow]) -> set[str]:
        """Those that no unique index refused.

        All senders insert in the same order, so that none waits for one that waits for it.
        """
        ordered = sorted(rows, key=IntakeRow.inbox)
        return set(insert_new(self._db, "message", COLUMNS, ordered, "message_id"))

    def _known(self, message_ids: Iterable[str]) -> set[str]:
        listed = list(message_ids)
        if not listed:
            return set()
        return self._ids(
            f"select message_id from message where message_id {LISTED}", json.dumps(listed)
        )

    def _keep(self, batches: Iterable[tuple[MessageBatch, bytes]], open_rows: Counter[str]) -> None:
        """The contents of batches that have rows to send."""
        self._db.executemany(
            "insert into batch(batch_id, content, open) values (?, ?, ?)"
            " on conflict (batch_id) do update set open = batch.open + excluded.open",
            [
                (batch.batch_id, content, open_rows[batch.batch_id])
                for batch, content in batches
                if open_rows[batch.batch_id]
            ],
        )

    def _moved(self, change: str, rows: Sequence[Sequence[object]]) -> list[Fact]:
        """One update for each row of parameters; the messages it moved, as they are then."""
        if not rows:
            return []
        moved = self._db.executemany(f"update message set {change} returning {FACT}", rows)
        return [Fact(row) for row in moved.fetchall()]

    def _closed(self, facts: list[Fact]) -> list[Fact]:
        """After a final state: a batch's content goes when no row needs it any more.

        What is unconfirmed, or was refused by SES, keeps it: an operator may still order it sent.
        """
        done = [
            fact for fact in facts
            if fact.batch_id is not None
            and fact.state != "unconfirmed"
            and not (fact.state == "failed" and fact.attempt)
        ]  # fmt: skip
        if done:
            counts = Counter(fact.batch_id for fact in done)
            self._db.execute(
                f"update message set batch_id = null where message_id {LISTED}",
                (json.dumps([fact.message_id for fact in done]),),
            )
            left = self._db.executemany(
                "update batch set open = open - ? where batch_id = ? returning open, batch_id",
                [(number, batch_id) for batch_id, number in counts.items()],
            ).fetchall()
            if empty := [batch_id for number, batch_id in left if number <= 0]:
                self._db.execute(
                    f"delete from batch where open <= 0 and batch_id {LISTED}",
                    (json.dumps(empty),),
                )
        return facts

    def _any(self, sql: str, *values: int) -> bool:
        return bool(self._db.execute(sql, values).fetchall())

    def _ids(self, sql: str, *values: str | int) -> set[str]:
        return {message_id for (message_id,) in self._db.execute(sql, values)}


def _entries(batches: Iterable[tuple[MessageBatch, bytes]]) -> int:
    return sum(len(batch.entries) for batch, _ in batches)


@lru_cache
def _picking(partitions: int) -> str:
    """A question that stops at the first partitions that fill it, in one round trip."""
    parts = (
        f"select * from (select {CANDIDATE} from message where state = 'ready' and send_id = ?"
        f" and partition = ? and entry_no > ? order by entry_no limit ?) part{number}"
        for number in range(partitions)
    )
    return " union all ".join(parts) + " limit ?"
