"""Dispatch: pick what is ready, look a last time, commit the intent, call SES, write outcomes.

One thread turns; calls run in a pool of `window` threads. A turn is one unit of the ledger: it
writes the outcomes of calls that came back and the intents of the calls that start next, so that
a kill leaves at most one window in doubt. What may go, in which order and how fast is decided by
pure functions (last_look, pacing, settling).
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import zstandard

from services.sender import pacing
from services.sender.gateway import Answer, MailGateway, OutgoingMail
from services.sender.last_look import Candidate, look
from services.sender.ledger import Ledger
from services.sender.outcomes import tell
from services.sender.tables import SenderTables
from services.sender.upkeep import deadline_margin_ms
from shared.clock import Clock, to_ms
from shared.errors import Fenced
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import SenderSettings
from shared.store.sqlite import SqliteStore, SqliteUnit
from shared.wire.cloudevents import MAX_DECOMPRESSED

IDLE_SECONDS = 0.05
LINGER_SECONDS = 0.002
REFRESH_SECONDS = 0.5
BATCHES_IN_MEMORY = 6
LONGEST_PAUSE = 5.0
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
        store: SqliteStore,
        gateway: MailGateway,
        tables: Callable[[], SenderTables],
        settings: SenderSettings,
        clock: Clock,
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self._store, self._gateway, self._open_tables = store, gateway, tables
        self._settings, self._clock = settings, clock
        self._fail_points, self._metrics = fail_points, metrics
        self._journal = Journal("sender.dispatch")
        self._condition = threading.Condition()
        self._partitions: frozenset[int] = frozenset()
        self._must_refresh = True
        self._in_flight: dict[str, int] = {}
        self._returned: queue.SimpleQueue[Called] = queue.SimpleQueue()
        self._pace = pacing.Pace.start(settings.rate, clock.boot_seconds())
        self._hold_until = 0.0
        self._doubts_in_a_row = 0
        self._contents: OrderedDict[str, list[str]] = OrderedDict()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(settings.window, thread_name_prefix="ses")
        self._thread = threading.Thread(target=self._run, name="dispatch", daemon=True)
        self.tables: SenderTables | None = None
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

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

    def release(self, partitions: frozenset[int]) -> None:
        """Pick nothing more of these numbers and wait until their calls have come back."""
        deadline = time.monotonic() + self._settings.read_timeout_seconds + 5
        with self._condition:
            self._partitions -= partitions
            while any(number in partitions for number in self._in_flight.values()):
                if not self._thread.is_alive() or time.monotonic() > deadline:
                    return
                self._condition.wait(0.1)

    def stop(self) -> None:
        """Let calls in flight come back, write their outcomes, end the thread."""
        self._stopping.set()
        self._thread.join(timeout=self._settings.read_timeout_seconds + 10)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            self.tables = self._opened()
            refreshed = time.monotonic()
            while not (self._stopping.is_set() and not self._in_flight):
                if self._must_refresh or time.monotonic() - refreshed > REFRESH_SECONDS:
                    self._refresh(self.tables)
                    refreshed = time.monotonic()
                self.turn(self.tables)
        except BaseException as error:  # noqa: BLE001 - the loop's thread must hear of it
            self.failure = error
            self._journal.failure("sender.dispatch_failed", error)

    def _opened(self) -> SenderTables:
        tables = self._open_tables()
        tables.refresh()
        for name in tables.ages():
            # asked at each scrape: a reading that hangs must not look young
            self._metrics.table_age.labels(name).set_function(
                lambda name=name: tables.ages()[name]  # type: ignore[misc]
            )
        return tables

    def _refresh(self, tables: SenderTables) -> None:
        with self._condition:
            self._must_refresh = False
        tables.refresh()

    def turn(self, tables: SenderTables) -> None:
        """Write what came back and commit what starts next, in one unit; then start it."""
        returned = self._wait_for_returns()
        looked_at = self._clock.boot_seconds()  # before the tables' ages are: frozen after is old
        free = self._settings.window - len(self._in_flight) + len(returned)
        granted = self._granted(tables, free)
        if not returned and not granted:
            return
        with self._condition:
            try:
                started = self._write(tables, returned, granted)
            except Fenced:
                started = []
                self._write_singly(tables, returned)
            for called in returned:
                self._in_flight.pop(called.candidate.message_id, None)
            for candidate, _ in started:
                self._in_flight[candidate.message_id] = candidate.partition
            self._condition.notify_all()
        self._pace = pacing.give_back(self._pace, granted - len(started))
        for candidate, mail in started:
            self._pool.submit(self._call, candidate, mail, looked_at)
        if granted and not started and not returned:
            time.sleep(IDLE_SECONDS)

    def _wait_for_returns(self) -> list[Called]:
        """Calls that came back; waits a little when there is nothing else to do."""
        returned: list[Called] = []
        full = len(self._in_flight) >= self._settings.window
        try:
            returned.append(
                self._returned.get(timeout=IDLE_SECONDS if full or not self._partitions else
                                   LINGER_SECONDS)
            )  # fmt: skip
            until = time.monotonic() + LINGER_SECONDS
            while len(returned) < len(self._in_flight):
                returned.append(self._returned.get(timeout=max(0.0, until - time.monotonic())))
        except queue.Empty:
            pass
        return returned

    def _granted(self, tables: SenderTables, free: int) -> int:
        """How many calls may start: halt, holds, old tables, the window and the pace decide."""
        now = self._clock.boot_seconds()
        if (
            free <= 0
            or not self._partitions
            or self._stopping.is_set()
            or self._must_refresh
            or tables.orders.halted
            or now < self._hold_until
            or max(tables.ages().values()) > self._settings.table_age_seconds
        ):
            time.sleep(0 if free <= 0 else LINGER_SECONDS)
            return 0
        self._pace, granted = pacing.take(self._pace, free, now)
        if not granted:
            time.sleep(LINGER_SECONDS)
        return granted

    def _write(
        self, tables: SenderTables, returned: list[Called], granted: int
    ) -> list[tuple[Candidate, OutgoingMail]]:
        now = self._clock.now()
        with self._store.unit() as unit:
            ledger = Ledger(unit.connection)
            for called in returned:
                self._outcome(unit, ledger, called, now)
            # Since the grant, SES may have told us to stop, and a number may have been taken.
            told_to_stop = any(called.answer.verdict in STOPPING for called in returned)
            may_start = granted and not told_to_stop and not self._must_refresh
            started = self._choose(unit, ledger, tables, granted, now) if may_start else []
            if returned:
                self._fail_points.reach("sender.outcome.before_commit")
            if started:
                self._fail_points.reach("sender.attempting.before_commit")
        if returned:
            self._fail_points.reach("sender.outcome.after_commit")
        if started:
            self._fail_points.reach("sender.attempting.after_commit")
        return started

    def _write_singly(self, tables: SenderTables, returned: list[Called]) -> None:
        """Some number is not ours any more: write the outcomes that still are ours to write.

        The others stay `attempting`; their new owner holds them in doubt until SES's event comes.
        """
        for called in returned:
            try:
                self._write(tables, [called], 0)
            except Fenced as error:
                self._journal.warning("sender.fenced", reason=str(error))

    def _choose(
        self,
        unit: SqliteUnit,
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
        for send_id in self._sends(ledger, tables):
            while len(started) < granted and looks > 0:
                candidates = ledger.pick(send_id, partitions, min(looks, granted - len(started)))
                if not candidates:
                    break
                looks -= len(candidates)
                going = [c for c in candidates if self._may_go(unit, ledger, tables, c, now)]
                ledger.attempt([candidate.rowid for candidate in going], to_ms(now))
                started.extend((c, self._mail(ledger, tables, c)) for c in going)
            if len(started) >= granted or looks <= 0:
                break
        return started

    def _sends(self, ledger: Ledger, tables: SenderTables) -> list[str]:
        """Sends with work, in order, without those that people or faults hold back.

        Cancelled ones are closed by the upkeep, in small units.
        """
        holds = ledger.holds()
        for send_id in list(holds):
            ledger.unhold(send_id, tables.resumed_ms.get(send_id, 0))
        holds = ledger.holds() if holds else holds
        stopped = tables.orders.paused | tables.orders.cancelled | holds.keys()
        return [send_id for send_id in ledger.sends_with_ready() if send_id not in stopped]

    def _may_go(
        self,
        unit: SqliteUnit,
        ledger: Ledger,
        tables: SenderTables,
        candidate: Candidate,
        now: datetime,
    ) -> bool:
        unit.check(candidate.partition)
        refusal = look(
            candidate, tables.suppressions, tables.orders, to_ms(now),
            deadline_margin_ms(self._settings),
        )  # fmt: skip
        if refusal is None:
            return True
        state, reason = refusal
        fact = ledger.finish(candidate.message_id, state, reason, to_ms(now), expected="ready")
        tell(unit, fact, now, self._metrics)
        return False

    def _outcome(self, unit: SqliteUnit, ledger: Ledger, called: Called, now: datetime) -> None:
        candidate, answer = called.candidate, called.answer
        boot, now_ms = self._clock.boot_seconds(), to_ms(now)
        self._metrics.attempts.labels(answer.verdict).inc()
        self._brake(answer, boot)
        match answer.verdict:
            case "accepted":
                fact = ledger.accept(candidate.message_id, answer.ses_message_id, now_ms)
                tell(unit, fact, now, self._metrics)
            case "failed":
                fact = ledger.finish(
                    candidate.message_id, "failed", answer.reason, now_ms, expected="attempting"
                )
                tell(unit, fact, now, self._metrics)
            case "in_doubt":
                settle_after_ms = now_ms + int(self._settings.settle_seconds * 1000)
                fact = ledger.doubt(candidate.message_id, answer.reason, settle_after_ms, now_ms)
                tell(unit, fact, now, self._metrics)
            case "retry" | "throttled" | "hold_send" | "hold_all" | "not_called":
                ledger.put_back(candidate.message_id, now_ms)
                self._hold(ledger, candidate, answer, boot, now_ms)

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

    def _hold(
        self, ledger: Ledger, candidate: Candidate, answer: Answer, boot: float, now_ms: int
    ) -> None:
        """What a refusal that cost nothing means for the calls to come."""
        if answer.verdict == "throttled":
            self._pace = pacing.slow_down(self._pace, boot)
        elif answer.verdict == "retry":
            self._hold_until = max(self._hold_until, boot + 0.2)
        elif answer.verdict == "hold_all":
            self._hold_until = max(self._hold_until, boot + answer.after_seconds)
            self._journal.error("sender.hold_all", reason=answer.reason)
        elif answer.verdict == "not_called":
            self._must_refresh = True  # we stood still, and the tables with us
        elif answer.verdict == "hold_send":
            ledger.hold(candidate.send_id, answer.reason, now_ms)
            self._journal.error("sender.hold_send", send=candidate.send_id, reason=answer.reason)

    def _call(self, candidate: Candidate, mail: OutgoingMail, looked_at: float) -> None:
        """In a pool thread: one call, unless the last look has become too old meanwhile."""

        def still_fresh() -> bool:
            return self._clock.boot_seconds() - looked_at <= self._settings.last_look_seconds

        began = time.monotonic()
        if still_fresh():
            answer = self._gateway.send(mail, still_fresh)
            self._metrics.call_seconds.observe(time.monotonic() - began)
        else:
            answer = Answer("not_called", "the last look became too old")
        self._fail_points.reach("sender.called")
        self._returned.put(Called(candidate, answer, time.monotonic() - began))

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
            raw=self._mails(ledger, candidate.batch_id)[candidate.entry].encode("ascii"),
            configuration_set=tables.orders.configuration_set,
            tags=tags,
        )

    def _mails(self, ledger: Ledger, batch_id: str) -> list[str]:
        """The mails of a batch, by entry number; a few batches are kept in memory."""
        known = self._contents.get(batch_id)
        if known is None:
            content = ledger.content(batch_id)
            if content is None:
                raise KeyError(f"the content of batch {batch_id} is gone though it has ready rows")
            body = zstandard.ZstdDecompressor().decompress(
                content, max_output_size=MAX_DECOMPRESSED
            )
            entries = json.loads(body)["entries"]
            known = [entry.get("mail") or "" for entry in entries]
            self._contents[batch_id] = known
            if len(self._contents) > BATCHES_IN_MEMORY:
                self._contents.popitem(last=False)
        else:
            self._contents.move_to_end(batch_id)
        return known
