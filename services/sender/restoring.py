"""Rebuilds a ledger from the log: `python -m services.sender.restoring`, with every sender stopped.

The store may be an older copy or empty. What was said on `events` (outcomes, and SES's own) is the
truth; outcomes only move up. Whoever is on `messages` without any outcome may have been called for
by the ledger that was lost, whatever the saved positions say: they lag behind what was taken in. So
all of them are in doubt, and what comes onto `messages` later is taken in as ever. The store gets a
new id, which the log is told: the one that was lost is refused should it turn up again. Dispatch is
held, durably, until an operator releases it. Steps, in `run`; each may be repeated after a crash.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from services.sender.intake import FROM_SES, content_of
from services.sender.intake_rows import IntakeRow, intake_rows
from services.sender.ledger import EVERYTHING, Fact, Ledger
from services.sender.outcomes import tell
from services.sender.schema import LEDGER_DDL
from shared.clock import SystemClock, to_ms
from shared.errors import Misconfigured, NeverRetry
from shared.log.opening import open_log
from shared.log.port import Member
from shared.log.record import Position, Stored, TopicPartition
from shared.log.topics import EVENTS, MESSAGES
from shared.loop.process import run_service
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import Settings
from shared.store.opening import open_store
from shared.wire.batches import MessageBatch
from shared.wire.cloudevents import decode
from shared.wire.events import FINAL_KINDS, Event, EventKind

GROUP: Final = "sender"
INPUTS: Final = (MESSAGES, EVENTS)
REASON: Final = "ledger restored"
HOLD: Final = (
    "restored ledger: look at `doorstep send status` of every send under way, then "
    "`doorstep restore release`"
)
SPARE_SECONDS: Final = 10.0
CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Known:
    """What `events` says of a message, all in all."""

    event: Event
    ses: bool = False
    ses_message_id: str | None = None

    @property
    def kind(self) -> EventKind:
        return "accepted" if self.ses else self.event.kind

    @property
    def final(self) -> bool:
        """Whether nothing is in doubt about it."""
        return self.kind != "unconfirmed"

    def lifted(self, event: Event, source: str) -> Known:
        """With one more event. What SES took is accepted; else the later attempt, the settled."""
        ses_id = event.ses_message_id or self.ses_message_id
        if event.kind in FROM_SES:
            return Known(self.event, True, ses_id)
        if source != GROUP or self.kind == "accepted":
            return Known(self.event, self.ses, ses_id)
        newer = _rank(event) > _rank(self.event)
        return Known(event if newer else self.event, self.ses, ses_id)


def _rank(event: Event) -> tuple[bool, bool, int, bool]:
    return (
        event.kind == "accepted", event.kind != "unconfirmed", event.attempt or 0, event.settled,
    )  # fmt: skip


class Restoring:
    """One rebuilding. Raises Misconfigured while a sender runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._clock = settings, SystemClock()
        self._journal, self._metrics = Journal("restoring"), Metrics(GROUP)
        self._log = open_log(settings)
        self._store = open_store(settings, GROUP, "ledger.db", LEDGER_DDL)
        self._known: dict[str, Known] = {}
        self._unreadable = 0

    def run(self) -> None:
        """1. Nobody else is a sender. 2. A new id and the hold. 3. `events`, whole. 4. What the
        store has. 5. What it lacks: first who has an outcome, since the inbox is theirs, then who
        has none. 6. Say what nobody was told. 7. The positions, to the log as well.
        """
        try:
            member = self._alone()
            store_id = self._begin()
            event_ends = self._read_events()
            self._lift_rows()
            message_ends = self._log.end_offsets(MESSAGES)
            self._fill(message_ends, with_outcome=True)
            self._fill(message_ends, with_outcome=False)
            self._doubt_the_rest()
            told = self._tell()
            self._positions(member, store_id, {MESSAGES: message_ends, EVENTS: event_ends})
            member.close()
            self._say(told)
        finally:
            self._store.close()
            self._log.close()

    def stop(self) -> None:
        """It is short, and may be repeated."""
        raise KeyboardInterrupt

    def _alone(self) -> Member:
        """Own every number of the group, here and in the store."""
        everything = frozenset(range(self._settings.partitions))
        lease = self._settings.loop.lease_seconds
        member = self._log.join(GROUP, INPUTS, lease_seconds=lease)
        member.pause(everything)
        until = time.monotonic() + 2 * lease + SPARE_SECONDS
        while member.owned() != everything:
            member.poll(0.2, 1)
            if time.monotonic() > until:
                member.close()
                raise Misconfigured(
                    "another sender is a member of the group: stop every sender, then restore"
                )
        for number in sorted(everything):
            self._store.take(number)
        return member

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
        for stored in self._through(EVENTS, ends):
            try:
                envelope = decode(stored)
            except NeverRetry:
                self._unreadable += 1
                continue
            match envelope.data:
                case Event(message_id=str(message_id)) as event if _says_a_state(
                    event, envelope.source
                ):
                    known = self._known.get(message_id)
                    begun = Known(event, event.kind in FROM_SES, event.ses_message_id)
                    self._known[message_id] = (
                        begun if known is None else known.lifted(event, envelope.source)
                    )
                case _:
                    pass
        return ends

    def _lift_rows(self) -> None:
        """Rows that the store has already, to what `events` says."""
        for ids in _chunks(self._known, CHUNK):
            with self._store.unit() as unit:
                self._settle_rows(Ledger(unit.connection), ids)

    def _settle_rows(self, ledger: Ledger, ids: Iterable[str]) -> None:
        now_ms = self._now_ms()
        known = [(message_id, self._known[message_id]) for message_id in ids]
        ledger.accept([(m, k.ses_message_id) for m, k in known if k.kind == "accepted"], now_ms)
        others = [(m, k.event) for m, k in known if k.kind != "accepted"]
        ledger.restate(
            [(m, e.kind, e.reason, int(e.settled), e.attempt or 0) for m, e in others],
            self._settle_after_ms(), now_ms,
        )  # fmt: skip

    def _fill(self, ends: dict[int, int], *, with_outcome: bool) -> None:
        """Take in what is on `messages` and has (no) final outcome."""
        for stored in self._through(MESSAGES, ends):
            try:
                data = decode(stored).data
            except NeverRetry:
                continue
            if isinstance(data, MessageBatch) and data.partition == stored.partition:
                self._take_in((data, content_of(stored)), with_outcome=with_outcome)

    def _take_in(self, batch: tuple[MessageBatch, bytes], *, with_outcome: bool) -> None:
        now_ms = self._now_ms()
        with self._store.unit() as unit:
            ledger = Ledger(unit.connection)
            rows = []
            for row in intake_rows([batch], ledger.first_number(len(batch[0].entries)), now_ms):
                known = self._known.get(row.message_id)
                if (known is not None and known.final) == with_outcome:
                    rows.append(self._row(row, known, batch[0].batch_id))
            came = ledger.fill(rows, batch)
            self._settle_rows(ledger, [each for each in came if each in self._known])

    @staticmethod
    def _row(row: IntakeRow, known: Known | None, batch_id: str) -> IntakeRow:
        if known is not None and known.final:
            reason = None if known.kind == "accepted" else known.event.reason
            return row._replace(state=known.kind, reason=reason, batch_id=None)
        if known is not None:
            return row._replace(state="unconfirmed", reason=known.event.reason, batch_id=batch_id)
        return row

    def _doubt_the_rest(self) -> None:
        now_ms = self._now_ms()
        while True:
            with self._store.unit() as unit:
                if not Ledger(unit.connection).doubt_all(
                    REASON, self._settle_after_ms(), now_ms, CHUNK
                ):
                    return

    def _tell(self) -> int:
        """Events of states that `events` does not know."""
        told, after = 0, -1
        while True:
            with self._store.unit() as unit:
                ledger = Ledger(unit.connection)
                found = ledger.after(after, CHUNK)
                if not found:
                    return told
                after = found[-1][0]
                facts = ledger.facts(message_id for _, message_id in found)
                news = [fact for fact in facts if not self._is_told(fact)]
                tell(unit, news, self._clock.now(), self._metrics)
                told += len(news)

    def _is_told(self, fact: Fact) -> bool:
        known = self._known.get(fact.message_id)
        if known is None or (known.ses and known.event.kind != "accepted"):
            return False
        return (known.kind, known.event.settled) == (fact.state, bool(fact.settled))

    def _positions(self, member: Member, store_id: str, ends: dict[str, dict[int, int]]) -> None:
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
        membership = member.poll(0.0, 1).membership
        member.commit(
            membership,
            [],
            {
                TopicPartition(topic, number): Position(
                    end, f"{store_id}:0" if topic == MESSAGES else ""
                )
                for topic, by_number in ends.items()
                for number, end in by_number.items()
            },
        )

    def _say(self, told: int) -> None:
        states: Counter[str] = Counter()
        for state, settled, number in self._store.connection.execute(
            "select state, settled, count(*) from message group by state, settled"
        ):
            doubt = state == "unconfirmed" and not settled
            states["in doubt" if doubt else state] += int(number)
        print(json.dumps({"states": dict(states), "told": told, "unreadable": self._unreadable}))
        self._journal.info("restoring.done", told=told, rows=states.total())

    def _through(self, topic: str, ends: dict[int, int]) -> Iterator[Stored]:
        """Every record of a topic that was there."""
        follower = self._log.follow(topic)
        try:
            while any(follower.next_offsets().get(n, 0) < end for n, end in ends.items()):
                for stored in follower.read(timeout_seconds=0.05):
                    if stored.offset < ends[stored.partition]:
                        yield stored
        finally:
            follower.close()

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())

    def _settle_after_ms(self) -> int:
        return self._now_ms() + int(self._settings.sender.settle_seconds * 1000)


def _says_a_state(event: Event, source: str) -> bool:
    """Whether it is of the ledger, or of SES; not what the segmenter says of people held back."""
    return event.kind in FROM_SES or (event.kind in FINAL_KINDS and source == GROUP)


def _chunks(names: Iterable[str], size: int) -> Iterator[list[str]]:
    listed = list(names)
    for start in range(0, len(listed), size):
        yield listed[start : start + size]


if __name__ == "__main__":
    sys.exit(run_service("restoring", Restoring))
