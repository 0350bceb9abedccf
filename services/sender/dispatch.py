"""Dispatch: pick what is ready, look a last time, commit the intent, call SES, write outcomes.

One thread turns; calls are the gateway's, `window` of them at a time. A turn is one unit of the
ledger: it writes the outcomes of calls that came back and the intents of the calls that start
next, so that a kill leaves at most one window in doubt. What may go, in which order and how fast
is decided by pure functions (last_look, pacing, settling).

When the ledger cannot be reached, no call starts. Outcomes wait in memory. Intents whose commit got
no answer are taken back first, for it is certain that nobody was called for them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from services.sender.breakers import FailuresInARow, Trip
from services.sender.contents import Contents
from services.sender.gates import Gate, Waiting
from services.sender.gateway import Answer, MailGateway, OutgoingMail, Verdict
from services.sender.holding import Holding
from services.sender.last_look import Candidate, look
from services.sender.ledger import EVERYTHING, Ledger
from services.sender.outcomes import tell
from services.sender.pace import Pace
from services.sender.picking import Parked, Picking
from services.sender.provider_pace import ProviderPace
from services.sender.seed_mails import SeedMails
from services.sender.tables import SenderTables
from services.sender.upkeep import deadline_margin_ms
from shared.clock import Clock, to_ms
from shared.errors import Fenced, RetryLater
from shared.loop.patience import Conflicts
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import SenderSettings
from shared.store.port import Store, Unit

IDLE_SECONDS = 0.05
LINGER_SECONDS = 0.002
REFRESH_SECONDS = 0.5
LONGEST_PAUSE = 5.0
LONGEST_OUTAGE_PAUSE = 2.0
LOOKS = 200
STOPPING = frozenset({"retry", "throttled", "hold_all"})
"""Verdicts after which the next call waits."""


@dataclass(frozen=True, slots=True)
class Called:
    """A call that came back."""

    candidate: Candidate
    answer: Answer
    seconds: float


class Dispatcher:
    """Owns the dispatch thread. `take` and `release` are called by the loop's thread."""

    def __init__(
        self,
        store: Store[Unit],
        gateway: MailGateway,
        pace: Pace,
        tables: Callable[[], SenderTables],
        settings: SenderSettings,
        clock: Clock,
        fail_points: FailPoints,
        metrics: Metrics,
        *,
        held: Callable[[], bool] = lambda: False,
        holding: Holding,
        providers: ProviderPace,
        on_hold_all: Callable[[], None] = lambda: None,
        seeds: SeedMails | None = None,
    ) -> None:
        """`held`: no call may start now; those in flight come back and are written down.

        `on_hold_all`: SES has said that no message can go. `seeds`: mails outside the ledger, which
        take their turn here.
        """
        self._held, self._holding, self._on_hold_all = held, holding, on_hold_all
        self._seeds = seeds
        self._failures = FailuresInARow(settings.breaker_failures)
        self._waiting, self._parked, self._providers = Waiting(metrics), Parked(), providers
        self._store, self._gateway, self._open_tables = store, gateway, tables
        self._pace, self._settings, self._clock = pace, settings, clock
        self._fail_points, self._metrics = fail_points, metrics
        for verdict in get_args(Verdict):
            metrics.attempts.labels(verdict)  # begins at nought: the first is then an increase
        self._journal = Journal("sender.dispatch")
        self._condition = threading.Condition()
        self._partitions: frozenset[int] = frozenset()
        self._must_refresh = True
        self._next_refresh = 0.0
        self._in_flight: dict[str, int] = {}
        self._returned: queue.SimpleQueue[Called] = queue.SimpleQueue()
        self._unwritten: list[Called] = []
        self._uncertain: dict[str, int] = {}
        self._nothing_ready = False
        self._hold_until = 0.0
        self._doubts_in_a_row = 0
        self._contents = Contents()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatch", daemon=True)
        self.tables: SenderTables | None = None
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def resumed_ms(self) -> Mapping[str, int]:
        """When each send was last ordered to go on, as far as is known."""
        return {} if self.tables is None else self.tables.resumed_ms

    def ready(self) -> bool:
        """Whether both tables have been read once."""
        return self.tables is not None

    def check(self) -> None:
        """Raises what ended the dispatch thread, if anything did."""
        if self.failure is not None:
            raise self.failure

    def take(self, partitions: frozenset[int]) -> None:
        """Dispatch for these numbers too, once both tables have been read anew."""
        with self._condition:
            self._partitions |= partitions
            self._must_refresh = True
            self._next_refresh = 0.0

    def release(self, partitions: frozenset[int]) -> None:
        """Pick nothing more of these numbers and wait until their calls have come back."""
        deadline = time.monotonic() + self._settings.read_timeout_seconds + 5
        with self._condition:
            self._partitions -= partitions
            # What stays `attempting` is in doubt for the next owner, who cannot know better.
            self._uncertain = {m: p for m, p in self._uncertain.items() if p not in partitions}
            while any(number in partitions for number in self._in_flight.values()):
                if not self._thread.is_alive() or time.monotonic() > deadline:
                    return
                self._condition.wait(0.1)

    def stop(self) -> None:
        """Let calls in flight come back, write their outcomes, end the thread."""
        self._stopping.set()
        self._thread.join(timeout=self._settings.read_timeout_seconds + 10)

    def _run(self) -> None:
        pause, tables, conflicts = IDLE_SECONDS, None, Conflicts()
        try:
            while not (self._stopping.is_set() and not self._in_flight):
                try:
                    tables = tables or self._opened()
                    self._refresh_when_due(tables)
                    if self._seeds is not None:
                        looked_at = self._clock.boot_seconds()  # before the tables' ages are
                        may_call = self._may_call(tables)
                        self._seeds.go(tables, self._pace, looked_at, may_call=may_call)
                    self.turn(tables)
                    pause = IDLE_SECONDS
                    conflicts.over()
                except RetryLater as error:
                    conflicts.note(error)
                    self._journal.warning("sender.unavailable", reason=str(error))
                    time.sleep(pause)
                    pause = min(pause * 2, LONGEST_OUTAGE_PAUSE)
        except BaseException as error:  # noqa: BLE001 - the loop's thread must hear of it
            self.failure = error
            self._journal.failure("sender.dispatch_failed", error)

    def _opened(self) -> SenderTables:
        tables = self._open_tables()
        for name in tables.ages():
            # Asked at each scrape: a reading that hangs must not look young.
            self._metrics.table_age.labels(name).set_function(
                lambda name=name: tables.ages()[name]  # type: ignore[misc]
            )
        return tables

    def _refresh_when_due(self, tables: SenderTables) -> None:
        """Read the tables to their ends. While that fails they age, and outcomes are written."""
        with self._condition:
            if time.monotonic() < self._next_refresh:
                return
            self._must_refresh = False
            self._next_refresh = time.monotonic() + REFRESH_SECONDS
        try:
            tables.refresh()
            self.tables = tables
        except RetryLater as error:
            self._must_refresh = True
            self._journal.warning("sender.tables_unavailable", reason=str(error))

    def turn(self, tables: SenderTables) -> None:
        """Write what came back and commit what starts next, in one unit; then start it."""
        self._take_note(self._wait_for_returns())
        self._take_back_uncertain()
        looked_at = self._clock.boot_seconds()  # before the tables' ages are: frozen after is old
        granted = self._granted(tables)
        if not self._unwritten and not granted:
            return
        started: list[tuple[Candidate, OutgoingMail]] = []
        try:
            self._providers.lease(tables.orders.providers, self._parked.providers(), granted)
            with self._condition:
                try:
                    started = self._write(tables, granted)
                    self._written(self._unwritten)
                except Fenced:
                    self._write_singly()
                for candidate, _ in started:
                    self._in_flight[candidate.message_id] = candidate.partition
        finally:
            self._pace.give_back(granted - len(started))
            self._providers.give_back()
            self._metrics.parked.set(self._parked.number)
        self._nothing_ready = bool(granted) and not started
        for candidate, mail in started:
            self._call(candidate, mail, looked_at)

    def _wait_for_returns(self) -> list[Called]:
        """Calls that came back; waits a little for one when there is none.

        For no other: as long as a call that is back has to wait, its place in the window is empty;
        and while this turn is written, enough come back to share the next.
        """
        full = len(self._in_flight) >= self._settings.window
        idle = full or self._nothing_ready or not self._partitions
        returned: list[Called] = []
        with suppress(queue.Empty):
            returned.append(self._returned.get(timeout=IDLE_SECONDS if idle else LINGER_SECONDS))
            while True:
                returned.append(self._returned.get_nowait())
        return returned

    def _granted(self, tables: SenderTables) -> int:
        """How many calls may start: halt, holds, old tables, the window and the pace decide.

        Not asked of the pace when there was nothing to start and still is not.
        """
        free = self._settings.window - len(self._in_flight) + len(self._unwritten)
        if (
            free <= 0
            or not self._partitions
            or not self._may_call(tables)
            # Since the last grant, SES may have told us to stop.
            or any(called.answer.verdict in STOPPING for called in self._unwritten)
        ):
            time.sleep(0 if free <= 0 or self._unwritten else LINGER_SECONDS)
            return 0
        if self._nothing_ready and not self._anything_ready(tables):
            return 0
        granted = self._pace.take(free)
        if not granted:
            time.sleep(LINGER_SECONDS)
        return granted

    def _may_call(self, tables: SenderTables) -> bool:
        """Whether nothing that is about all mails stands in the way of a call."""
        return not (
            self._stopping.is_set()
            or self._must_refresh
            or tables.orders.halted
            or self._held()
            or self._clock.boot_seconds() < self._hold_until
            or max(tables.ages().values()) > self._oldest_tables()
        )

    def _oldest_tables(self) -> float:
        """How old they may be now: a call may begin when the look is as old as a look may be."""
        return max(0.0, self._settings.table_age_seconds - self._settings.last_look_seconds)

    def _anything_ready(self, tables: SenderTables) -> bool:
        ledger, partitions = Ledger(self._store.connection), sorted(self._partitions)
        sends = self._waiting.without(_sends(ledger, tables), self._clock.boot_seconds())
        return any(ledger.pick(send_id, partitions, 1) for send_id in sends)

    def _write(self, tables: SenderTables, granted: int) -> list[tuple[Candidate, OutgoingMail]]:
        """Outcomes and intents. When it raises RetryLater, perhaps both were committed."""
        now, returned = self._clock.now(), self._unwritten
        try:
            with self._store.unit() as unit:
                ledger = Ledger(unit.connection)
                self._book(unit, ledger, returned, now)
                # A number may have been taken since the grant.
                may_start = granted and not self._must_refresh
                started = self._choose(unit, ledger, tables, granted, now) if may_start else []
                if returned:
                    self._fail_points.reach("sender.outcome.before_commit")
                if started:
                    self._fail_points.reach("sender.attempting.before_commit")
                self._uncertain = {c.message_id: c.partition for c, _ in started}
        except RetryLater:
            raise
        except BaseException:
            self._uncertain = {}
            raise
        self._uncertain = {}
        if returned:
            self._fail_points.reach("sender.outcome.after_commit")
        if started:
            self._fail_points.reach("sender.attempting.after_commit")
        return started

    def _write_singly(self) -> None:
        """Some number is not ours any more: write the outcomes that still are ours to write.

        The others stay `attempting`; their new owner holds them in doubt until SES's event comes.
        """
        for called in list(self._unwritten):
            try:
                with self._store.unit() as unit:
                    self._book(unit, Ledger(unit.connection), [called], self._clock.now())
            except Fenced as error:
                self._journal.warning("sender.fenced", reason=str(error))
            self._written([called])

    def _written(self, called: Sequence[Called]) -> None:
        for one in list(called):
            self._unwritten.remove(one)
            self._in_flight.pop(one.candidate.message_id, None)
        self._condition.notify_all()

    def _take_back_uncertain(self) -> None:
        """Intents that may have been committed without our knowing: nobody was called for them."""
        with self._condition:
            for partition in sorted(set(self._uncertain.values())):
                ids = [m for m, number in self._uncertain.items() if number == partition]
                with suppress(Fenced), self._store.unit() as unit:
                    unit.check(partition)
                    Ledger(unit.connection).put_back(ids, to_ms(self._clock.now()))
                for message_id in ids:
                    del self._uncertain[message_id]

    def _choose(
        self,
        unit: Unit,
        ledger: Ledger,
        tables: SenderTables,
        granted: int,
        now: datetime,
    ) -> list[tuple[Candidate, OutgoingMail]]:
        """Look at candidates until `granted` may go; those that may not reach their final state.

        Not more than `LOOKS` in one unit, which others wait for.
        """
        partitions = sorted(self._partitions)
        started: list[tuple[Candidate, OutgoingMail]] = []
        looks = LOOKS
        if held := ledger.holds():
            unit.check(*partitions)
            ledger.unhold({send_id: tables.resumed_ms.get(send_id, 0) for send_id in held})
        gate, boot = Gate(unit.connection, tables.orders.warm_ups, now), self._clock.boot_seconds()
        self._waiting.tell(gate)
        picking = Picking(
            ledger, gate, self._providers, self._parked, self._waiting, partitions, boot
        )
        for send_id in self._waiting.without(_sends(ledger, tables), boot):
            while len(started) < granted and looks > 0:
                candidates = picking.next(send_id, min(looks, granted - len(started)))
                if not candidates:
                    break
                looks -= len(candidates)
                going = self._look(unit, ledger, tables, candidates, now)
                ledger.attempt(going, to_ms(now))
                gate.spend(going)
                started.extend((c, self._mail(ledger, tables, c)) for c in going)
            if len(started) >= granted or looks <= 0:
                break
        return started

    def _look(
        self,
        unit: Unit,
        ledger: Ledger,
        tables: SenderTables,
        candidates: Sequence[Candidate],
        now: datetime,
    ) -> list[Candidate]:
        """Those that may go."""
        unit.check(*(candidate.partition for candidate in candidates))
        going, ends = [], []
        for candidate in candidates:
            refusal = look(
                candidate, tables.suppressions, tables.orders, to_ms(now),
                deadline_margin_ms(self._settings),
            )  # fmt: skip
            if refusal is None:
                going.append(candidate)
            else:
                ends.append((candidate.message_id, *refusal))
        tell(unit, ledger.finish(ends, to_ms(now), expected="ready"), now, self._metrics)
        return going

    def _book(self, unit: Unit, ledger: Ledger, returned: Sequence[Called], now: datetime) -> None:
        """Write outcomes. Doing it again changes nothing."""
        if not returned:
            return
        unit.check(*(called.candidate.partition for called in returned))
        now_ms = to_ms(now)
        settle_after_ms = now_ms + int(self._settings.settle_seconds * 1000)
        facts = ledger.accept(
            [(c.candidate.message_id, c.answer.ses_message_id) for c in _of(returned, "accepted")],
            now_ms,
        )
        facts += ledger.finish(
            [(c.candidate.message_id, "failed", c.answer.reason) for c in _of(returned, "failed")],
            now_ms,
            expected="attempting",
        )
        facts += ledger.doubt(
            [(c.candidate.message_id, c.answer.reason) for c in _of(returned, "in_doubt")],
            settle_after_ms,
            now_ms,
        )
        certain = _of(returned, "retry", "throttled", "hold_send", "hold_all", "not_called")
        ledger.put_back([called.candidate.message_id for called in certain], now_ms)
        if certain and self.tables is not None:
            gate = Gate(unit.connection, self.tables.orders.warm_ups, now)
            gate.give_back(called.candidate for called in certain)
        own, resumed_ms = returned[0].candidate.partition, self.resumed_ms()
        self._holding.hold(unit, own, self._trips(returned), resumed_ms, now)
        tell(unit, facts, now, self._metrics)

    def _trips(self, returned: Sequence[Called]) -> dict[str, Trip]:
        """Sends to hold after these answers."""
        trips = {
            called.candidate.send_id: Trip("refused", called.answer.reason)
            for called in _of(returned, "hold_send")
        }
        for called in _of(returned, "failed"):
            send_id = called.candidate.send_id
            if tripped := self._failures.trip(send_id, called.answer.reason):
                trips.setdefault(send_id, tripped)
        return trips

    def _take_note(self, returned: Iterable[Called]) -> None:
        """What answers mean for the calls to come; their outcomes are still to be written."""
        boot = self._clock.boot_seconds()
        for called in returned:
            self._unwritten.append(called)
            self._metrics.attempts.labels(called.answer.verdict).inc()
            self._failures.note(called.candidate.send_id, called.answer.verdict)
            self._brake(called.answer, boot)
            self._hold(called.answer, boot)

    def _brake(self, answer: Answer, boot: float) -> None:
        """Nothing but doubt means that SES is down: hold everything, with growing pauses.

        Otherwise an outage would put a whole audience in doubt, one window after the other.
        """
        if answer.verdict != "in_doubt":
            self._doubts_in_a_row = 0
            return
        self._doubts_in_a_row += 1
        too_many = self._doubts_in_a_row - self._settings.window
        if too_many >= 0:
            windows = too_many // self._settings.window
            pause = min(LONGEST_PAUSE, 1.5 ** min(windows, 20))
            self._hold_until = max(self._hold_until, boot + pause)
            self._journal.error("sender.only_doubt", in_a_row=self._doubts_in_a_row, pause=pause)

    def _hold(self, answer: Answer, boot: float) -> None:
        """What a refusal that cost nothing means for the calls to come."""
        if answer.verdict == "throttled":
            self._pace.slow_down()
        elif answer.verdict == "retry":
            self._hold_until = max(self._hold_until, boot + 0.2)
        elif answer.verdict == "hold_all":
            self._hold_until = max(self._hold_until, boot + answer.after_seconds)
            self._journal.error("sender.hold_all", reason=answer.reason)
            self._on_hold_all()
        elif answer.verdict == "not_called":
            self._must_refresh = True  # we stood still, and the tables with us
            self._next_refresh = 0.0

    def _call(self, candidate: Candidate, mail: OutgoingMail, looked_at: float) -> None:
        """Begin one call, which is not made if the last look has become too old meanwhile."""
        began = time.monotonic()

        def still_fresh() -> bool:
            return self._clock.boot_seconds() - looked_at <= self._settings.last_look_seconds

        def answered(answer: Answer) -> None:
            seconds = time.monotonic() - began
            if answer.verdict != "not_called":
                self._metrics.call_seconds.observe(seconds)
            self._fail_points.reach("sender.called")
            self._returned.put(Called(candidate, answer, seconds))

        self._gateway.begin(mail, still_fresh, answered)

    def _mail(self, ledger: Ledger, tables: SenderTables, candidate: Candidate) -> OutgoingMail:
        tags = {
            "m": candidate.message_id,
            "p": candidate.supporter_id,
            "s": candidate.send_id,
            "v": candidate.variant,
            "o": str(candidate.occurrence),
            "a": str(candidate.attempt + 1),
        }
        if candidate.edition:
            tags["e"] = candidate.edition.encode().hex()
        return OutgoingMail(
            sender=candidate.sender,
            to=candidate.to_address,
            raw=self._contents.mail(ledger, candidate.batch_id, candidate.entry),
            configuration_set=tables.orders.configuration_set,
            tags=tags,
        )


def _sends(ledger: Ledger, tables: SenderTables) -> list[str]:
    """Sends with work, in order, without those that people or faults hold back.

    Cancelled ones are closed by the upkeep, in small units.
    """
    holds = ledger.holds()
    if holds.get(EVERYTHING, -1) >= tables.resumed_ms.get(EVERYTHING, 0):
        return []
    stopped = tables.orders.paused | tables.orders.cancelled
    stopped |= {
        send_id for send_id, at_ms in holds.items()
        if at_ms >= tables.resumed_ms.get(send_id, 0)
    }  # fmt: skip
    return [send_id for send_id in ledger.sends_with_ready() if send_id not in stopped]


def _of(returned: Iterable[Called], *verdicts: Verdict) -> list[Called]:
    return [called for called in returned if called.answer.verdict in verdicts]
