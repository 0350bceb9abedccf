"""Forwards the spool to the main log: every hit that is durable, exactly once.

One thread. Outputs and the cursor `<spool id>:<next offset>` go in one commit, so that a crash
anywhere repeats nothing and loses nothing. While the log cannot take them, or there is none yet,
hits stay in the spool. While people wait for an answer, it rests between batches: what it takes of
the core, they wait for.
A hit that cannot be made into facts goes to the dead letters in the same commit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import apsw

from services.tracker.facts import Making, records
from services.tracker.raw_hits import Bearer, Malformed, RawHit, SesHit, pack, unpack_row
from services.tracker.spool import HITS, SpoolReader
from shared.clock import Clock, boot_seconds, to_ms
from shared.errors import DoorstepError, RetryLater, StorageFailed, WrongStore
from shared.log.port import Publisher
from shared.log.record import Record, Stored
from shared.loop.delivery import dead_letter
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics

GROUP: Final = "tracker"
BATCH_ROWS: Final = 250
TRIM_BEHIND: Final = 1_000
"""While hits keep coming, forwarded rows are wiped only when this many have gathered."""
IDLE_SECONDS: Final = 0.5
REST: Final = 4.0
"""So much longer than a batch took it rests after it, while people wait."""
REST_SECONDS: Final = 10.0
"""It does not rest any more when the oldest hit has waited this long."""
FIRST_BACK_OFF: Final = 0.1
LONGEST_BACK_OFF: Final = 5.0
PROGRAMME_SECONDS: Final = 2.0
"""How long a turn waits for the programme before it looks whether the service is stopping."""
TROUBLE: Final = (RetryLater, StorageFailed, apsw.Error, OSError)
"""What passes, of the log or of a disk."""

_OR_ADOPT: Final = (
    "if that one is lost for good, run `python -m services.tracker --adopt-spool` once to go on "
    "with what there is"
)

WaitCurrent = Callable[[float, float], bool]
"""See `services.tracker.following.Following.wait_current`."""

OpenPublisher = Callable[[], Publisher | None]
"""Opens the publisher of this spool; None, after a while, when there is no log yet."""


def read_cursor(cursor: str, spool_id: str, first: int, following: int) -> int:
    """The next offset to forward, from what the log says was forwarded last.

    `first` and `following`: what the spool holds. Raises WrongStore when spool and log do not
    belong together.
    """
    if not cursor:
        return first
    found, _, number = cursor.rpartition(":")
    if found != spool_id or not number.isdigit():
        raise WrongStore(
            "tracker: the log was last fed from another spool: the spool is new, or this log "
            f"belongs to another installation. Put the right tracker/spool.db back; {_OR_ADOPT}"
        )
    if int(number) > following:
        raise WrongStore(
            f"tracker: hits up to {number} were forwarded, the spool only knows {following}: it is "
            f"an older copy. Put the newest tracker/spool.db back; {_OR_ADOPT}"
        )
    if int(number) < first:
        raise WrongStore(
            f"tracker: hit {number} is the next the log waits for, the spool begins at {first}: "
            f"the log is an older copy. Put the newest log back; {_OR_ADOPT}"
        )
    return int(number)


def rest_seconds(took_seconds: float, age_seconds: float, *, people_wait: bool) -> float:
    """How long to rest after a batch, so that a full core answers people first. Pure.

    `age_seconds`: of the oldest hit not yet forwarded.
    """
    return REST * took_seconds if people_wait and age_seconds < REST_SECONDS else 0.0


def adopt(reader: SpoolReader, publisher: Publisher) -> None:
    """Let the log and this spool belong together from now on, whatever was before.

    An older copy of the right spool holds nothing that was not forwarded, and its next offsets
    were used before: it gets a new id and goes on at its end, or where hits came in before the log
    could be asked. Any other is forwarded whole.
    """
    (begin, _), following = reader.ends(), reader.confirmed()
    found, _, number = publisher.cursor().rpartition(":")
    if found == reader.spool_id and number.isdigit() and int(number) > following:
        reader.renew_id()
        begin = following
    publisher.commit([], f"{reader.spool_id}:{begin}")
    reader.confirm()


class Forwarder:
    """Forwards until stopped. `failure` says why it ended by itself."""

    def __init__(
        self,
        reader: SpoolReader,
        open_publisher: OpenPublisher,
        making: Making,
        *,
        wait_current: WaitCurrent,
        clock: Clock,
        fail_points: FailPoints,
        metrics: Metrics,
        on_failure: Callable[[DoorstepError], None],
        people_wait: Callable[[], bool] = lambda: False,
        urgent: Callable[[], bool] = lambda: False,
    ) -> None:
        """`on_failure` hears why it ended by itself: WrongStore, when the spool and the log do not
        belong together. `urgent`: whether something came in since it was last asked that is to be
        forwarded without a rest, with all that came before it.
        """
        self._people_wait, self._urgent, self._hurry = people_wait, urgent, False
        self._reader, self._open_publisher, self._making = reader, open_publisher, making
        self._wait_current, self._on_failure = wait_current, on_failure
        self._clock, self._fail_points, self._metrics = clock, fail_points, metrics
        self._journal = Journal("tracker.forwarding")
        self._oldest_ms: int | None = None
        metrics.spool_age.set_function(self._age_seconds)
        metrics.dead_letters.labels(HITS)  # begins at nought: the first is then an increase
        self._publisher: Publisher | None = None
        self._next, self._confirmed = 0, reader.doubt()
        self._open = threading.Event()
        self._stopping = threading.Event()
        self._stop_by = float("inf")
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread still turns."""
        return self._thread.is_alive()

    def wait_open(self, timeout_seconds: float) -> bool:
        """Wait until the log has confirmed the spool, or refused it; False when it took longer."""
        return self._open.wait(timeout_seconds)

    def stop(self, within_seconds: float) -> int:
        """Forward what is in the spool, as far as it goes in this time, then end. Without a log
        it ends at once. How many hits are left.
        """
        self._stop_by = time.monotonic() + within_seconds
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        left = self._reader.hits_from(self._next)
        self._reader.close()
        if self._publisher is not None:
            self._publisher.close()
        return left

    def _run(self) -> None:
        try:
            publisher = self._opened()
            if publisher is not None:
                self._open.set()
                self._forward_all(publisher)
        except DoorstepError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - the service must hear that nothing is forwarded
            self._journal.failure("tracker.forwarder_broke", error)
            self._fail(DoorstepError(f"the forwarder broke: {type(error).__name__}: {error}"))

    def _fail(self, error: DoorstepError) -> None:
        self._on_failure(error)
        self._open.set()

    def _opened(self) -> Publisher | None:
        """The publisher, once the log has confirmed the spool; None when told to stop before."""
        pause = FIRST_BACK_OFF
        while not self._stopping.is_set():
            self._note_age(self._reader.read(self._reader.ends()[0], 1))
            try:
                self._publisher = self._publisher or self._open_publisher()
                if self._publisher is not None:
                    self._confirm(self._publisher)
                    return self._publisher
            except TROUBLE as error:
                self._journal.warning("tracker.log_unavailable", reason=str(error))
                self._wait(pause)
                pause = min(pause * 2, LONGEST_BACK_OFF)
        return None

    def _confirm(self, publisher: Publisher) -> None:
        """Find where to go on. Raises WrongStore."""
        first, _ = self._reader.ends()
        self._next = read_cursor(publisher.cursor(), self._reader.spool_id, first, self._confirmed)
        self._reader.confirm()

    def _forward_all(self, publisher: Publisher) -> None:
        while not self._over():
            began = time.monotonic()
            self._hurry = self._urgent() or self._hurry
            batch = self._reader.read(self._next, BATCH_ROWS)
            self._note_age(batch)
            if batch:
                self._forward(publisher, batch)
                self._trim(TRIM_BEHIND)
                self._rest(time.monotonic() - began)
                continue
            self._hurry = False
            if self._stopping.is_set():
                break
            self._trim(0)
            self._reader.wait(time.monotonic() + IDLE_SECONDS)

    def _rest(self, took_seconds: float) -> None:
        people_wait = self._people_wait() and not self._hurry
        pause = rest_seconds(took_seconds, self._age_seconds(), people_wait=people_wait)
        if pause:
            self._stopping.wait(pause)

    def _over(self) -> bool:
        return self._stopping.is_set() and time.monotonic() >= self._stop_by

    def _forward(self, publisher: Publisher, batch: Sequence[Stored]) -> None:
        """Make facts of a batch and commit them with the cursor."""
        hits = [
            (stored, place, hit)
            for stored in batch
            for place, hit in enumerate(unpack_row(stored.value))
        ]
        if not self._know_sends([hit for _, _, hit in hits]):
            return
        outputs = [record for found in hits for record in self._outputs(*found)]
        next_offset = batch[-1].offset + 1
        self._fail_points.reach("tracker.forward.before_commit")
        cursor = f"{self._reader.spool_id}:{next_offset}"
        if not self._commit(publisher, outputs, cursor, len(hits), batch):
            return
        self._fail_points.reach("tracker.forward.after_commit")
        self._next = next_offset

    def _commit(
        self,
        publisher: Publisher,
        outputs: Sequence[Record],
        cursor: str,
        hits: int,
        batch: Sequence[Stored],
    ) -> bool:
        """Try until it works; False when time ran out. After trouble, the log says what is out."""
        pause = FIRST_BACK_OFF
        while not self._over():
            try:
                if pause > FIRST_BACK_OFF and publisher.cursor() == cursor:
                    return True
                publisher.commit(outputs, cursor)
                return True
            except TROUBLE as error:
                self._journal.warning("tracker.log_unavailable", hits=hits, reason=str(error))
            self._note_age(batch)
            self._wait(pause)
            pause = min(pause * 2, LONGEST_BACK_OFF)
        return False

    def _know_sends(self, hits: Sequence[RawHit | Malformed]) -> bool:
        """Make sure the programme is known as it stood when these hits came in.

        A send that is not in it then, is not in it at all. False when time ran out.
        """
        bearers = [bearer for hit in hits if (bearer := _bearer(hit)) is not None]
        if not bearers:
            return True
        # What was kept from an earlier life is good enough to answer people by. Facts are for ever:
        # they are made of what was read in this one.
        known = all(self._making.mailing_of(bearer) is not None for bearer in bearers)
        since = 0.0 if known else boot_seconds()
        while not self._wait_current(since, PROGRAMME_SECONDS):
            if self._over():
                return False
        return True

    def _outputs(self, stored: Stored, place: int, hit: RawHit | Malformed) -> list[Record]:
        """Of the hit that has this place in its row, from 0."""
        spool_id = self._reader.spool_id
        of_row = f".{place}" if place else ""
        try:
            if isinstance(hit, Malformed):
                raise hit
            return records(hit, f"{spool_id}:{stored.offset}{of_row}", self._making)
        except Exception as error:  # noqa: BLE001 - one hit, whatever is wrong with it, stops no other
            self._metrics.dead_letters.labels(HITS).inc()
            self._journal.error(
                "tracker.dead_letter", offset=stored.offset, error=type(error).__name__
            )
            text = hit.text if isinstance(hit, Malformed) else pack(hit)
            refused = replace(stored, topic=f"spool/{spool_id}{of_row}", value=text)
            return [dead_letter(refused, error, GROUP, self._clock.now())]

    def _trim(self, behind: int) -> None:
        """Wipe forwarded rows while more than `behind` of them are still there."""
        try:
            while self._next - self._reader.ends()[0] > behind:
                self._reader.trim(self._next)
        except (StorageFailed, apsw.Error) as error:  # they are wiped another time
            self._journal.warning("tracker.spool_untrimmed", reason=str(error))

    def _note_age(self, batch: Sequence[Stored]) -> None:
        self._oldest_ms = batch[0].timestamp_ms if batch else None

    def _age_seconds(self) -> float:
        """Of the oldest hit not yet forwarded. Asked at each scrape: a hung commit ages, too."""
        oldest_ms = self._oldest_ms
        if oldest_ms is None:
            return 0.0
        return max(0, to_ms(self._clock.now()) - oldest_ms) / 1000

    def _wait(self, seconds: float) -> None:
        if self._stopping.is_set():
            time.sleep(max(0.0, min(seconds, self._stop_by - time.monotonic())))
        else:
            self._stopping.wait(seconds)


def _bearer(hit: RawHit | Malformed) -> Bearer | None:
    return None if isinstance(hit, (Malformed, SesHit)) else hit.bearer
