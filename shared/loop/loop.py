"""The one consumer loop: poll -> decode -> handle -> commit, then what else is due.

It alone polls, pauses, retries, counts dead letters and stops. The steps of a turn and of a
shutdown stand in `turn` and `run`, in order. Single-threaded; a watchdog beside it ends the
process when a turn does not end.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from shared.clock import Clock
from shared.errors import BudgetPassed, CommitUnknown, Fenced, LoopStuck, RetryLater
from shared.log.port import Member, Polled
from shared.log.record import Stored, TopicPartition
from shared.loop.delivery import Decoded, decode_all
from shared.loop.patience import Patience
from shared.loop.work import Work
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import LoopSettings

BLOCKED_SECONDS = 30.0
LONGEST_BACK_OFF = 10.0
LAG_SECONDS = 2.0
RETRY_REASONS = ("retry_later", "fenced", "unavailable")
REBALANCES = ("assigned", "revoked", "lost")


class Rewinding(Protocol):
    """How to read a number again after its commit failed."""

    def __call__(self, partition: int) -> None: ...


class Loop:
    """Drives one `Work` until told to stop."""

    def __init__(
        self,
        group: str,
        topics: Sequence[str],
        member: Member,
        work: Work,
        settings: LoopSettings,
        clock: Clock,
        metrics: Metrics,
        *,
        before_turn: Callable[[], None] = lambda: None,
        rewind: Rewinding | None = None,
        ignored: Callable[[Stored], bool] = lambda _: False,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        """`ignored` says by a record's headers that the handler has no use for it.

        `held` says that nothing new is to be taken in; what is under way goes on.
        """
        self._group, self._topics = group, tuple(topics)
        self._member, self._work = member, work
        self._settings, self._clock, self._metrics = settings, clock, metrics
        self._before_turn, self._ignored = before_turn, ignored
        self._held, self._holding = held, False
        self._rewind = rewind or self._rewind_in_log
        self._journal = Journal("loop")
        self._stopping = threading.Event()
        self._patience = Patience(settings.retry_seconds, self._stopping, self._note_waiting)
        self._turned_at = time.monotonic()
        self._letters: deque[float] = deque()
        self._waiting: dict[int, tuple[float, float, float]] = {}
        self._joined = False
        self._blocked: set[int] = set()
        self._next_lag = 0.0
        self._begin_at_nought()

    def stop(self) -> None:
        """Ask the loop to end after the turn it is in. Safe from a signal handler."""
        self._stopping.set()

    def healthy(self) -> bool:
        """Whether the loop has turned lately."""
        return time.monotonic() - self._turned_at < self._settings.stuck_seconds

    def ready(self) -> bool:
        """Whether the first poll has come back."""
        return self._joined

    def run(self) -> None:
        """Turn until stopped, then shut down in order.

        1. The handler finishes what is in flight. 2. The outbox is published once more. 3. The
        member leaves the group, so that others take over at once. Errors end the loop the same
        way, but for step 2 when the partitions are not ours any more.
        """
        watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        watchdog.start()
        polled: Polled | None = None
        clean = False
        try:
            while not self._stopping.is_set():
                polled = self.turn()
            clean = True
        except RetryLater:
            if not self._stopping.is_set():
                raise
        finally:
            self._stopping.set()
            try:
                self._work.stop(polled.membership if polled is not None and clean else None)
            except (Fenced, RetryLater) as error:
                self._journal.warning("loop.unfinished_at_stop", reason=str(error))
            self._member.close()
            self._journal.info("loop.stopped", group=self._group, clean=clean)

    def turn(self) -> Polled:
        """One turn: poll; take note of changed ownership; decode; handle and commit; the rest."""
        self._patience.insist(self._before_turn)
        self._hold_or_go_on()
        self._wake_waiting()
        phases = self._metrics.phases
        phases.enter("poll")
        polled = self._poll()
        phases.enter("handle")
        self._ownership(polled)
        handled = not (polled.records or polled.passed) or self._apply(polled)
        if handled:
            phases.enter("tick")
            self._do_the_rest(polled)
        phases.enter(None)
        self._turned_at = time.monotonic()
        self._joined = True
        if self._turned_at >= self._next_lag:
            self._next_lag = self._turned_at + LAG_SECONDS
            self._measure_lag()
        self._metrics.loop_turn_timestamp.set_to_current_time()
        return polled

    def _poll(self) -> Polled:
        """One poll that came back; while the log is away, it is tried again."""
        polled: list[Polled] = []
        self._patience.insist(
            lambda: polled.append(
                self._member.poll(self._settings.poll_seconds, self._settings.max_records)
            )
        )
        return polled[0]

    def _measure_lag(self) -> None:
        """A figure for people: that it cannot be had stops no work."""
        try:
            lag = self._member.lag()
        except RetryLater as error:
            self._journal.warning("loop.lag_unknown", group=self._group, reason=str(error))
            return
        for topic, records in lag.items():
            self._metrics.consumer_lag.labels(topic).set(records)

    def _ownership(self, polled: Polled) -> None:
        if polled.lost:
            self._metrics.rebalances.labels("lost").inc()
            self._work.released(polled.lost, None)
        if polled.revoking:
            self._metrics.rebalances.labels("revoked").inc()
            self._work.released(polled.revoking, polled.membership)
        if polled.assigned:
            self._metrics.rebalances.labels("assigned").inc()
            self._patience.insist(partial(self._work.assigned, polled.assigned))
        if polled.lost or polled.revoking or polled.assigned:
            self._waiting = {
                number: entry for number, entry in self._waiting.items()
                if number not in polled.lost | polled.revoking
            }  # fmt: skip
            self._blocked -= polled.lost | polled.revoking
            self._metrics.partitions_blocked.set(len(self._blocked))
            owned = self._member.owned() - polled.revoking
            self._metrics.partitions_owned.set(len(owned))
            self._journal.info(
                "loop.ownership", group=self._group, assigned=sorted(polled.assigned),
                revoking=sorted(polled.revoking), lost=sorted(polled.lost), owned=len(owned),
            )  # fmt: skip

    def _apply(self, polled: Polled) -> bool:
        """The whole batch in one commit; on trouble, number by number, so that one may wait.

        False when it is not known whether the batch was committed: it is read again from where the
        store, or the log, says.
        """
        numbers = {place.partition for place in (*polled.records, *polled.passed)}
        try:
            for number in numbers - self._apply_numbers(polled, numbers):
                self._waiting.pop(number, None)
        except CommitUnknown as error:
            self._patience.wait(error)
            self._rewind_all(numbers)
            return False
        except RetryLater:
            for number in sorted(numbers):
                self._apply_number(polled, number)
        except Fenced as error:
            self._fenced(error)
        return True

    def _do_the_rest(self, polled: Polled) -> None:
        try:
            self._work.turn(polled.membership)
            self._patience.over()
        except Fenced as error:
            self._fenced(error)
        except RetryLater as error:
            self._patience.wait(error)

    def _apply_number(self, polled: Polled, number: int) -> None:
        try:
            if number not in self._apply_numbers(polled, {number}):
                self._waiting.pop(number, None)
        except RetryLater as error:
            self._wait(number, error)
        except Fenced as error:
            self._fenced(error)

    def _apply_numbers(self, polled: Polled, numbers: set[int]) -> set[int]:
        """Handle and commit; the numbers that are blocked by a newer version now."""
        records = [
            stored
            for place, batch in polled.records.items()
            if place.partition in numbers
            for stored in batch
        ]
        self._metrics.phases.enter("handle")
        decoded = decode_all(records, self._ignored)
        passed = {place: at for place, at in polled.passed.items() if place.partition in numbers}
        through = passed | _through(records, decoded)
        if through:
            letters = self._work.apply(
                polled.membership, decoded.deliveries, decoded.refused, through
            )
            self._count(records, letters)
        for place, (_, error) in decoded.newer.items():
            self._journal.error("loop.newer_version", reason=str(error))
            self._block(place.partition, BLOCKED_SECONDS)
        blocked = {place.partition for place in decoded.newer}
        self._blocked = (self._blocked - {stored.partition for stored in records}) | blocked
        self._metrics.partitions_blocked.set(len(self._blocked))
        return blocked

    def _count(self, records: Iterable[Stored], refused: Counter[str]) -> None:
        for stored in records:
            self._metrics.loop_records.labels(stored.topic).inc()
        letters = refused.total()
        if not letters:
            return
        now = time.monotonic()
        for topic, number in refused.items():
            self._metrics.dead_letters.labels(topic).inc(number)
        self._letters.extend([now] * letters)
        while self._letters and self._letters[0] < now - 3_600:
            self._letters.popleft()
        self._journal.error("loop.dead_letters", group=self._group, records=letters)
        if len(self._letters) > self._settings.dead_letter_budget:
            raise BudgetPassed(
                f"{self._group}: {len(self._letters)} dead letters within an hour, the budget is "
                f"{self._settings.dead_letter_budget}. They are kept: look at them with "
                "`doorstep dead-letters list`, mend the cause, start again"
            )

    def _wait(self, number: int, error: RetryLater) -> None:
        """Put a number's batch back and try again later, with growing pauses, up to a deadline."""
        now = time.monotonic()
        since, pause, _ = self._waiting.get(number, (now, error.after_seconds, 0.0))
        if now - since > self._settings.retry_seconds:
            raise RetryLater(
                f"{self._group}: partition {number} was retried for "
                f"{self._settings.retry_seconds:.0f} s in vain: {error}"
            ) from error
        self._metrics.loop_retries.labels("retry_later").inc()
        self._journal.warning("loop.retry_later", partition=number, reason=str(error))
        self._waiting[number] = (since, min(pause * 2, LONGEST_BACK_OFF), now + pause)
        self._member.pause(frozenset({number}))
        self._rewind_all({number})

    def _block(self, number: int, seconds: float) -> None:
        now = time.monotonic()
        self._waiting[number] = (now, seconds, now + seconds)
        self._member.pause(frozenset({number}))
        self._rewind_all({number})

    def _hold_or_go_on(self) -> None:
        """Pause every number while held; numbers that come meanwhile are paused, too."""
        held, owned = self._held(), self._member.owned()
        if held:
            self._member.pause(owned)
        elif self._holding:
            self._member.resume(owned - self._waiting.keys())
        self._holding = held

    def _wake_waiting(self) -> None:
        if self._holding:
            return
        now = time.monotonic()
        for number, (_, _, due) in list(self._waiting.items()):
            if due <= now:
                self._member.resume(frozenset({number}))

    def _fenced(self, error: Fenced) -> None:
        """Somebody else owns a number: drop all uncommitted work, read everything anew."""
        self._metrics.loop_retries.labels("fenced").inc()
        self._journal.warning("loop.fenced", group=self._group, reason=str(error))
        self._rewind_all(self._member.owned())

    def _rewind_all(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._patience.insist(partial(self._rewind, number))

    def _note_waiting(self, error: RetryLater) -> None:
        """The loop turns, though nothing can be done."""
        self._metrics.loop_retries.labels("unavailable").inc()
        self._journal.warning("loop.unavailable", group=self._group, reason=str(error))
        self._turned_at = time.monotonic()

    def _rewind_in_log(self, partition: int) -> None:
        self._member.rewind([TopicPartition(topic, partition) for topic in self._topics])

    def _begin_at_nought(self) -> None:
        """The first of each is an increase only if it was counted before, as none."""
        for topic in self._topics:
            self._metrics.loop_records.labels(topic)
            self._metrics.dead_letters.labels(topic)
        for reason in RETRY_REASONS:
            self._metrics.loop_retries.labels(reason)
        for kind in REBALANCES:
            self._metrics.rebalances.labels(kind)

    def _watch(self) -> None:
        while not self._stopping.wait(min(5.0, self._settings.stuck_seconds / 4)):
            if not self.healthy():
                self._journal.error("loop.stuck", group=self._group)
                faulthandler.dump_traceback(file=sys.stderr)
                os._exit(LoopStuck.exit_code)


def _through(records: Iterable[Stored], decoded: Decoded) -> dict[TopicPartition, int]:
    """Place to the next offset after what is handled now; newer records stay unread."""
    through: dict[TopicPartition, int] = {}
    for stored in records:
        barrier = decoded.newer.get(stored.place)
        if barrier is not None and stored.offset >= barrier[0].offset:
            continue
        through[stored.place] = stored.offset + 1
    return through
