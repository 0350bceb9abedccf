"""What time makes due in the ledger: deadlines that pass, sends that are cancelled, settling.

Runs in the loop's thread between batches, in small units, so that a paused send's deadlines pass
and its books close although nothing is dispatched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Literal

from services.sender.deadlines import slack_seconds
from services.sender.feedback import forget_feedback
from services.sender.last_look import Orders, SettleOrder
from services.sender.ledger import NUMBERS_LISTED, SLOT_MS, Ledger
from services.sender.outcomes import tell, tell_resend
from services.sender.settling import SILENT_WINDOWS, UNKNOWN, InDoubt, Neighbours, Times, settle
from services.sender.soft_bounces import SoftBounces, forget_soft_bounces
from shared.clock import to_ms
from shared.log.record import TopicPartition
from shared.log.topics import EVENTS
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import SenderSettings
from shared.store.port import Store, Unit

EVERY_MS = 500
SETTLE_EVERY_MS = 1_500
COUNT_EVERY_MS = 2_000
SLACK_EVERY_MS = 5_000
FORGET_EVERY_MS, KEPT_MS = 600_000, 86_400_000
FEEDBACK_KEPT_MS = 7 * 86_400_000
CHUNK = 500
DOUBTS = 10_000


class Upkeep:
    """`end_offsets` asks the log for high watermarks of `events`; `orders` is the newest view;
    `rate` is in messages a second.
    """

    def __init__(
        self,
        store: Store[Unit],
        settings: SenderSettings,
        orders: Callable[[], Orders],
        end_offsets: Callable[[str], dict[int, int]],
        fail_points: FailPoints,
        metrics: Metrics,
        rate: Callable[[], float],
        soft_bounces: SoftBounces,
    ) -> None:
        self._store, self._settings, self._orders = store, settings, orders
        self._rate, self._soft_bounces = rate, soft_bounces
        self._retried: set[tuple[str, int, tuple[int, ...]]] = set()
        self._window_ms = int(settings.settle_seconds * 1000)
        self._fail_points, self._metrics = fail_points, metrics
        self._reading = EventReading(store, end_offsets)
        self._next_ms = self._next_settle_ms = 0
        self._next_count_ms = self._next_slack_ms = self._next_forget_ms = 0
        metrics.deadline_slack.set(inf)

    def tick(self, now: datetime) -> None:
        """Everything due, at most twice a second."""
        if to_ms(now) < self._next_ms:
            return
        self._next_ms = to_ms(now) + EVERY_MS
        owned = sorted(self._store.owned())
        if not owned:
            self._own_nothing()
            return
        self._expire(owned, now)
        self._cancel(owned, now)
        if to_ms(now) >= self._next_settle_ms:
            self._next_settle_ms = to_ms(now) + SETTLE_EVERY_MS
            self._retry(owned, now)
            self._settle(owned, now)
        if to_ms(now) >= self._next_count_ms:
            self._next_count_ms = to_ms(now) + COUNT_EVERY_MS
            self._count(owned)
            if self._soft_bounces.any_due(self._store.connection, now):
                with self._store.unit() as unit:
                    unit.check(*owned)
                    self._soft_bounces.lift(unit, owned, now)
        if to_ms(now) >= self._next_forget_ms:
            self._next_forget_ms = to_ms(now) + FORGET_EVERY_MS
            kept_ms = KEPT_MS + (SILENT_WINDOWS + 1) * self._window_ms
            with self._store.unit() as unit:
                Ledger(unit.connection).forget_heard(to_ms(now) - kept_ms)
                forget_feedback(unit.connection, to_ms(now) - FEEDBACK_KEPT_MS)
                kept = timedelta(days=self._settings.soft_bounce_days)
                forget_soft_bounces(unit.connection, now - kept)
        self._note_slack(to_ms(now))

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

    def _retry(self, owned: list[int], now: datetime) -> None:
        """What SES refused, where somebody has mended the cause and ordered it."""
        orders = self._orders()
        last_ms = to_ms(now) + self.margin_ms()
        done = {(send_id, ordered_ms, tuple(owned)) for send_id, ordered_ms in orders.retry.items()}
        for send_id, ordered_ms, _ in sorted(done - self._retried):
            again = send_id not in orders.cancelled
            while again:
                with self._store.unit() as unit:
                    unit.check(*owned)
                    again = bool(
                        Ledger(unit.connection).retry(
                            send_id, ordered_ms, owned, last_ms, max(to_ms(now), ordered_ms)
                        )
                    )
        self._retried = done

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
        orders = self._orders().settle
        for send_id, order in sorted(orders.items()):
            if order.decision == "resend":
                doubts.extend(ledger.settled_unconfirmed(send_id, order.ordered_ms, owned))
        if not doubts:
            return
        read_through_ms = self._reading.read_through_ms(owned, to_ms(now))
        neighbours = _Neighbourhood(ledger, Times.of(self._window_ms))
        decided = []
        for doubt in doubts:
            decision, reason = settle(
                doubt,
                neighbours.of(doubt) if to_ms(now) >= doubt.settle_after_ms else UNKNOWN,
                now_ms=to_ms(now),
                window_ms=self._window_ms,
                margin_ms=self.margin_ms(),
                events_read_ms=read_through_ms[doubt.partition],
                order=_order_for(doubt, orders, self._window_ms),
            )
            if decision != "wait":
                decided.append((doubt, decision, reason))
        if decided:
            with self._store.unit() as unit:
                self._write(unit, decided, now)
            self._fail_points.reach("sender.settle.after_commit")

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
        tell_resend(unit, ledger.resend(again, to_ms(now)), now)
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

    def _own_nothing(self) -> None:
        """What was counted before is another instance's to tell of now."""
        self._metrics.unconfirmed.set(0)
        self._metrics.ready.set(0)
        self._metrics.deadline_slack.set(inf)
        self._next_count_ms = self._next_slack_ms = 0

    def _note_slack(self, now_ms: int) -> None:
        if now_ms < self._next_slack_ms:
            return
        self._next_slack_ms = now_ms + SLACK_EVERY_MS
        waiting = self._store.connection.execute(
            "select deadline_ms, count(*) from message"
            " where state = 'ready' and deadline_ms is not null group by deadline_ms"
        )
        self._metrics.deadline_slack.set(
            slack_seconds(
                ((int(deadline_ms), int(messages)) for deadline_ms, messages in waiting),
                now_ms=now_ms,
                margin_ms=self.margin_ms(),
                rate=self._rate(),
            )
        )


class _Neighbourhood:
    """Asks the ledger once for all that were called within the same slot."""

    def __init__(self, ledger: Ledger, times: Times) -> None:
        self._ledger, self._times = ledger, times
        self._found: dict[int, Neighbours] = {}

    def of(self, doubt: InDoubt) -> Neighbours:
        if doubt.attempted_ms is None:
            return UNKNOWN
        begin = doubt.attempted_ms // SLOT_MS * SLOT_MS
        if begin not in self._found:
            end = begin + SLOT_MS - 1
            near, posting = self._times.near, self._times.posting
            self._found[begin] = Neighbours(
                witnessed=self._ledger.witnessed(end, begin + posting),
                silent=self._ledger.unheard(begin - near, end + near),
            )
        return self._found[begin]


class EventReading:
    """How far reading of `events` has come, as a time: all that was on the log then is read."""

    def __init__(self, store: Store[Unit], end_offsets: Callable[[str], dict[int, int]]) -> None:
        self._store, self._end_offsets = store, end_offsets
        self._goal: dict[int, int] = {}
        self._goal_ms = 0
        self._through_ms: dict[int, int] = {}

    def read_through_ms(self, owned: Sequence[int], now_ms: int) -> dict[int, int]:
        """The newest such time for each of `owned`, in milliseconds; 0 before the first.

        A number that came from another owner begins anew: the events that were seen of others say
        nothing of those that wait there.
        """
        self._through_ms = {number: self._through_ms.get(number, 0) for number in owned}
        waiting = [number for number in owned if self._through_ms[number] < self._goal_ms]
        for number in waiting:
            place = TopicPartition(EVENTS, number)
            if self._store.positions(number).get(place, 0) >= self._goal.get(number, 0):
                self._through_ms[number] = self._goal_ms
        if all(reached == self._goal_ms for reached in self._through_ms.values()):
            self._goal, self._goal_ms = self._end_offsets(EVENTS), now_ms
        return self._through_ms


def _order_for(
    doubt: InDoubt, orders: Mapping[str, SettleOrder], window_ms: int
) -> Literal["leave", "resend"] | None:
    """An operator's order is about what was in doubt when it was given, not about later."""
    order = orders.get(doubt.send_id)
    since_ms = doubt.attempted_ms
    if since_ms is None:
        since_ms = doubt.settle_after_ms - window_ms
    return None if order is None or since_ms >= order.ordered_ms else order.decision


def deadline_margin_ms(settings: SenderSettings) -> int:
    """Read timeout, plus the bound for clock skew and a margin, in milliseconds."""
    return int((settings.read_timeout_seconds + settings.deadline_margin_seconds) * 1000)
