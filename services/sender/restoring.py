"""Rebuilds a ledger from the log: `python -m services.sender.restoring`, with every sender stopped.

The store may be an older copy or empty. What was said on `events` (outcomes, and SES's own) is the
truth; outcomes only move up. Whoever is on `messages` without any outcome may have been called for
by the ledger that was lost, whatever the saved positions say: they lag behind what was taken in. So
all of them are in doubt, and what comes onto `messages` later is taken in as ever. The store gets a
new id, which the log is told: the one that was lost is refused should it turn up again. Dispatch is
held, durably, until an operator releases it. Steps, in `run`; cut off at any of them, it is called
again. Memory does not grow with the log.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

from services.sender.intake import content_of
from services.sender.intake_rows import IntakeRow, intake_rows
from services.sender.known import Known, KnownMessages, says_a_state
from services.sender.ledger import EVERYTHING, Fact, Ledger
from services.sender.only_member import OnlyMember
from services.sender.outcomes import tell
from services.sender.schema import LEDGER_DDL
from shared.clock import SystemClock, to_ms
from shared.errors import NeverRetry
from shared.log.opening import open_log
from shared.log.record import Position, Stored, TopicPartition
from shared.log.topics import EVENTS, MESSAGES
from shared.loop.process import run_service
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import Settings
from shared.store.opening import open_store
from shared.wire.batches import MessageBatch
from shared.wire.cloudevents import decode
from shared.wire.events import Event

GROUP: Final = "sender"
INPUTS: Final = (MESSAGES, EVENTS)
REASON: Final = "ledger restored"
HOLD: Final = (
    "restored ledger: look at `doorstep send status` of every send under way, then "
    "`doorstep restore release`"
)
NO_STORE: Final = "being-restored"
"""In the place of a store's id in the log's cursor: no ledger is the right one now."""
CHUNK: Final = 500
READ_AT_ONCE: Final = {MESSAGES: 50, EVENTS: 5_000}
"""Records: a batch of messages is up to a megabyte."""


class Restoring:
    """One rebuilding. Raises Misconfigured while a sender runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._clock = settings, SystemClock()
        self._journal, self._metrics = Journal("restoring"), Metrics(GROUP)
        self._fail_points = FailPoints(settings.fail_at)
        self._log = open_log(settings)
        self._store = open_store(settings, GROUP, "ledger.db", LEDGER_DDL)
        self._unreadable = 0

    def run(self) -> None:
        """1. Nobody else is a sender, nor can be one before the end: the log names no store. 2. A
        new id and the hold. 3. `events`, whole. 4. What the store has. 5. What it lacks: first who
        has an outcome, since the inbox is theirs, then who has none. 6. Say what nobody was told.
        7. The positions. 8. To the log as well, which names this store from now on.
        """
        with ExitStack() as opened:
            opened.callback(self._log.close)
            opened.callback(self._store.close)
            self._member = OnlyMember(self._log, self._store, GROUP, INPUTS, self._settings)
            opened.callback(self._member.close)
            self._known = KnownMessages(self._settings.home / GROUP)
            opened.callback(self._known.close)
            self._name_no_store()
            store_id = self._begin()
            event_ends = self._read_events()
            self._lift_rows()
            message_ends = self._log.end_offsets(MESSAGES)
            self._fill(message_ends, with_outcome=True)
            self._fill(message_ends, with_outcome=False)
            self._doubt_the_rest()
            told = self._tell()
            self._positions(store_id, {MESSAGES: message_ends, EVENTS: event_ends})
            self._say(told)

    def stop(self) -> None:
        """It may be repeated."""
        raise KeyboardInterrupt

    def _name_no_store(self) -> None:
        known, firsts = self._log.positions(GROUP, INPUTS), self._log.first_offsets(MESSAGES)
        positions = {}
        for number, first in firsts.items():
            place = TopicPartition(MESSAGES, number)
            stands = known[place].next_offset if place in known else first
            positions[place] = Position(stands, f"{NO_STORE}:0")
        self._member.commit(positions)
        self._fail_points.reach("restoring.begin.after_commit")

    def _begin(self) -> str:
        store_id, now_ms = uuid.uuid4().hex, self._now_ms()
        with self._store.unit() as unit:
            database = unit.connection
            database.execute("update store set store_id = ?", (store_id,))
            database.execute("delete from outbox")
            database.execute("update ownership set last_seq = 0")
            Ledger(database).hold({EVERYTHING: HOLD}, now_ms)
        return store_id

    def _read_events(self) -> dict[int, int]:
        ends = self._log.end_offsets(EVENTS)
        for records in self._through(EVENTS, ends):
            said: list[tuple[str, Event, str]] = []
            for stored in records:
                try:
                    envelope = decode(stored)
                except NeverRetry:
                    self._unreadable += 1
                    continue
                match envelope.data:
                    case Event(message_id=str(message_id)) as event if says_a_state(
                        event, envelope.source
                    ):
                        said.append((message_id, event, envelope.source))
                    case _:
                        pass
            self._known.hear(said)
        return ends

    def _lift_rows(self) -> None:
        """Rows that the store has already, to what `events` says."""
        for known in self._known.all(CHUNK):
            with self._store.unit() as unit:
                self._settle_rows(Ledger(unit.connection), known)
            self._member.keep()

    def _settle_rows(self, ledger: Ledger, known: Mapping[str, Known]) -> None:
        now_ms = self._now_ms()
        ledger.accept(
            [(m, k.ses_message_id) for m, k in known.items() if k.kind == "accepted"], now_ms
        )
        ledger.restate(
            [
                (m, k.said, k.reason, int(k.settled), k.attempt)
                for m, k in known.items()
                if k.kind != "accepted"
            ],
            self._settle_after_ms(), now_ms,
        )  # fmt: skip

    def _fill(self, ends: dict[int, int], *, with_outcome: bool) -> None:
        """Take in what is on `messages` and has (no) final outcome."""
        for records in self._through(MESSAGES, ends):
            for stored in records:
                self._member.keep()
                try:
                    data = decode(stored).data
                except NeverRetry:
                    continue
                if isinstance(data, MessageBatch) and data.partition == stored.partition:
                    self._take_in((data, content_of(stored)), with_outcome=with_outcome)

    def _take_in(self, batch: tuple[MessageBatch, bytes], *, with_outcome: bool) -> None:
        now_ms, entries = self._now_ms(), batch[0].entries
        known_of = self._known.of(entry.message_id for entry in entries)
        with self._store.unit() as unit:
            ledger = Ledger(unit.connection)
            rows = []
            for row in intake_rows([batch], ledger.first_number(len(entries)), now_ms):
                known = known_of.get(row.message_id)
                if (known is not None and known.final) == with_outcome:
                    rows.append(self._row(row, known, batch[0].batch_id))
            came = ledger.fill(rows, batch)
            self._settle_rows(ledger, {each: known_of[each] for each in came if each in known_of})

    @staticmethod
    def _row(row: IntakeRow, known: Known | None, batch_id: str) -> IntakeRow:
        if known is not None and known.final:
            reason = None if known.kind == "accepted" else known.reason
            return row._replace(state=known.kind, reason=reason, batch_id=None)
        if known is not None:
            return row._replace(state="unconfirmed", reason=known.reason, batch_id=batch_id)
        return row

    def _doubt_the_rest(self) -> None:
        now_ms = self._now_ms()
        while True:
            self._member.keep()
            with self._store.unit() as unit:
                if not Ledger(unit.connection).doubt_all(
                    REASON, self._settle_after_ms(), now_ms, CHUNK
                ):
                    return

    def _tell(self) -> int:
        """Events of states that `events` does not know."""
        told, after = 0, -1
        while True:
            self._member.keep()
            with self._store.unit() as unit:
                ledger = Ledger(unit.connection)
                found = ledger.after(after, CHUNK)
                if not found:
                    return told
                after = found[-1][0]
                facts = ledger.facts(message_id for _, message_id in found)
                known = self._known.of(message_id for _, message_id in found)
                news = [fact for fact in facts if not _is_told(fact, known.get(fact.message_id))]
                tell(unit, news, self._clock.now(), self._metrics)
                told += len(news)

    def _positions(self, store_id: str, ends: dict[str, dict[int, int]]) -> None:
        """Reading goes on after what was looked at; the log's cursor names this store from now on.

        Nothing of the outbox is published yet: the relay of the next sender does that.
        """
        with self._store.unit() as unit:
            for topic, by_number in ends.items():
                for number, end in by_number.items():
                    unit.connection.execute(
                        "insert into input_position(topic, partition, next_offset)"
                        " values (?, ?, ?) on conflict (topic, partition)"
                        " do update set next_offset = excluded.next_offset",
                        (topic, number, end),
                    )
        self._fail_points.reach("restoring.store.after_commit")
        self._member.commit(
            {
                TopicPartition(topic, number): Position(
                    end, f"{store_id}:0" if topic == MESSAGES else ""
                )
                for topic, by_number in ends.items()
                for number, end in by_number.items()
            }
        )
        self._fail_points.reach("restoring.log.after_commit")

    def _say(self, told: int) -> None:
        states: Counter[str] = Counter()
        for state, settled, number in self._store.connection.execute(
            "select state, settled, count(*) from message group by state, settled"
        ):
            doubt = state == "unconfirmed" and not settled
            states["in doubt" if doubt else state] += int(number)
        print(json.dumps({"states": dict(states), "told": told, "unreadable": self._unreadable}))
        self._journal.info("restoring.done", told=told, rows=states.total())

    def _through(self, topic: str, ends: dict[int, int]) -> Iterator[list[Stored]]:
        """Every record of a topic that was there, some at a time."""
        follower, most = self._log.follow(topic), READ_AT_ONCE[topic]
        try:
            while any(follower.next_offsets().get(n, 0) < end for n, end in ends.items()):
                self._member.keep()
                found = follower.read(timeout_seconds=0.05, max_records=most)
                yield [stored for stored in found if stored.offset < ends[stored.partition]]
        finally:
            follower.close()

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())

    def _settle_after_ms(self) -> int:
        return self._now_ms() + int(self._settings.sender.settle_seconds * 1000)


def _is_told(fact: Fact, known: Known | None) -> bool:
    """Whether `events` says of a message what its row says."""
    if known is None or (known.ses and known.said != "accepted"):
        return False
    return (known.kind, known.settled) == (fact.state, bool(fact.settled))


if __name__ == "__main__":
    sys.exit(run_service("restoring", Restoring))
