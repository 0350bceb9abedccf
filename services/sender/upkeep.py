"""What time makes due in the ledger: deadlines that pass, sends that are cancelled, settling.

Runs in the loop's thread between batches, in small units, so that a paused send's deadlines pass
and its books close although nothing is dispatched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

from services.sender.last_look import Orders
from services.sender.ledger import NUMBERS_LISTED, Ledger
from services.sender.outcomes import tell
from services.sender.settling import InDoubt, settle
from shared.clock import to_ms
from shared.log.record import TopicPartition
from shared.log.topics import EVENTS
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import SenderSettings
from shared.store.port import Store, Unit

EVERY_MS = 500
COUNT_EVERY_MS = 2_000
CHUNK = 500
DOUBTS = 10_000


class Upkeep:
    """`end_offsets` asks the log for high watermarks of `events`; `orders` is the newest view."""

    def __init__(
        self,
        store: Store[Unit],
        settings: SenderSettings,
        orders: Callable[[], Orders],
        settle_ordered_ms: Callable[[], dict[str, int]],
        end_offsets: Callable[[str], dict[int, int]],
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self._store, self._settings = store, settings
        self._orders, self._settle_ordered_ms = orders, settle_ordered_ms
        self._fail_points, self._metrics = fail_points, metrics
        self._reading = EventReading(store, end_offsets)
        self._next_ms = self._next_count_ms = 0

    def tick(self, now: datetime) -> None:
        """Everything due, at most twice a second."""
        if to_ms(now) < self._next_ms:
            return
        self._next_ms = to_ms(now) + EVERY_MS
        owned = sorted(self._store.owned())
        if not owned:
            return
        self._expire(owned, now)
        self._cancel(owned, now)
        self._settle(owned, now)
        if to_ms(now) >= self._next_count_ms:
            self._next_count_ms = to_ms(now) + COUNT_EVERY_MS
            self._count(owned)

    def margin_ms(self) -> int:
        """How long before a deadline the last call may begin."""
        return deadline_margin_ms(self._settings)

    def _expire(self, owned: list[int], now: datetime) -> None:
        before = to_ms(now) + self.margin_ms()
        while ids := Ledger(self._store.connection).overdue(before, owned, CHUNK):
            self._finish(owned, ids, "expired", "its deadline came first", now)

    def _cancel(self, owned: list[int], now: datetime) -> None:
        for send_id in sorted(self._orders().cancelled):
            ledger = Ledger(self._store.connection)
            while ids := ledger.ready_of(send_id, owned, CHUNK):
                self._finish(owned, ids, "cancelled", "the send was cancelled", now)

    def _finish(
        self,
        owned: Sequence[int],
        ids: Iterable[str],
        state: Literal["expired", "cancelled"],
        reason: str,
        now: datetime,
    ) -> None:
        with self._store.unit() as unit:
            unit.check(*owned)
            ends = [(message_id, state, reason) for message_id in ids]
            facts = Ledger(unit.connection).finish(ends, to_ms(now), expected="ready")
            tell(unit, facts, now, self._metrics)

    def _settle(self, owned: list[int], now: datetime) -> None:
        ledger = Ledger(self._store.connection)
        doubts = ledger.in_doubt(owned, DOUBTS)
        for send_id, order in sorted(self._orders().settle.items()):
            if order == "resend":
                ordered = self._settle_ordered_ms().get(send_id, 0)
                doubts.extend(ledger.settled_unconfirmed(send_id, ordered, owned))
        if not doubts:
            return
        events_read_ms = self._reading.read_through_ms(owned, to_ms(now))
        channel_ms = ledger.channel_ms()
        decided = []
        for doubt in doubts:
            decision, reason = settle(
                doubt,
                now_ms=to_ms(now),
                window_ms=int(self._settings.settle_seconds * 1000),
                margin_ms=self.margin_ms(),
                channel_ms=channel_ms,
                events_read_ms=events_read_ms,
                order=self._order_for(doubt),
            )
            if decision != "wait":
                decided.append((doubt, decision, reason))
        if decided:
            with self._store.unit() as unit:
                self._write(unit, decided, now)
            self._fail_points.reach("sender.settle.after_commit")

    def _order_for(self, doubt: InDoubt) -> Literal["leave", "resend"] | None:
        """An operator's order is about what was in doubt when it was given, not about later."""
        if doubt.attempted_ms >= self._settle_ordered_ms().get(doubt.send_id, 0):
            return None
        return self._orders().settle.get(doubt.send_id)

    def _write(
        self, unit: Unit, decided: Sequence[tuple[InDoubt, str, str]], now: datetime
    ) -> None:
        unit.check(*(doubt.partition for doubt, _, _ in decided))
        ledger = Ledger(unit.connection)
        again, left = (
            [
                (doubt.message_id, reason)
                for doubt, decision, reason in decided
                if decision == wanted
            ]
            for wanted in ("resend", "leave")
        )
        ledger.resend(again, to_ms(now))
        tell(unit, ledger.leave(left, to_ms(now)), now, self._metrics)

    def _count(self, owned: list[int]) -> None:
        # States are literals in these questions, so that the partial indexes serve.
        for condition, metric in (
            ("state = 'unconfirmed' and settled = 0", self._metrics.unconfirmed),
            ("state = 'ready'", self._metrics.ready),
        ):
            ((number,),) = self._store.connection.execute(
                f"select count(*) from message where {condition} and partition {NUMBERS_LISTED}",
                (json.dumps(owned),),
            )
            metric.set(number)


class EventReading:
    """How far reading of `events` has come, as a time: all that was on the log then is read."""

    def __init__(self, store: Store[Unit], end_offsets: Callable[[str], dict[int, int]]) -> None:
        self._store, self._end_offsets = store, end_offsets
        self._goal: dict[int, int] = {}
        self._goal_ms = 0
        self._through_ms = 0

    def read_through_ms(self, owned: Sequence[int], now_ms: int) -> int:
        """The newest such time for all of `owned`, in milliseconds; 0 before the first."""
        if self._goal and self._reached(owned):
            self._through_ms = self._goal_ms
            self._goal = {}
        if not self._goal:
            self._goal, self._goal_ms = self._end_offsets(EVENTS), now_ms
        return self._through_ms

    def _reached(self, owned: Sequence[int]) -> bool:
        for partition in owned:
            place = TopicPartition(EVENTS, partition)
            if self._store.positions(partition).get(place, 0) < self._goal.get(partition, 0):
                return False
        return True


def deadline_margin_ms(settings: SenderSettings) -> int:
    """Read timeout, plus the bound for clock skew and a margin, in milliseconds."""
    return int((settings.read_timeout_seconds + settings.deadline_margin_seconds) * 1000)
