"""The spool: hits made durable before they are answered, in an embedded log of its own.

Group commit without a timer: one writer thread; the next commit begins when the last one ends and
takes what came in meanwhile. The first takes what one turn of the event loop brings. Rows leave
again once they are forwarded. Nothing here knows what a hit means or reaches the main log.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from services.tracker.raw_hits import RawHit, pack, pack_row
from shared.errors import Misconfigured, RetryLater, StorageFailed
from shared.log.embedded.body import EmbeddedLog
from shared.log.embedded.records import Catalogue, heads, stream
from shared.log.embedded.wakeup import Wakeup
from shared.log.record import Record, Stored, TopicSpec
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.sqlite import open_database, transaction

HITS: Final = "hits"
MOST_WAITING: Final = 20_000
"""Hits that may wait for a commit: some seconds of the fastest arrival, some 20 MB."""
ROW_HITS: Final = 100
"""So many hits at most share a row."""
ROW_BYTES: Final = 262_144
READ_BYTES: Final = 131_072
TRIM_ROWS: Final = 2_000


class NotKept(RetryLater):
    """The hit is not durable: the spool is full, cannot be written, or is closing."""


class Batch:
    """Hits that are committed together, and who waits for it."""

    __slots__ = ("hits", "loop", "oldest_ms", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, oldest_ms: int) -> None:
        self.loop, self.oldest_ms = loop, oldest_ms
        self.hits: list[bytes] = []
        self.waiting: list[asyncio.Future[None]] = []

    def answer(self, error: NotKept | None) -> None:
        """Tell everybody, on their event loop. Who has gone is told nothing; the hit is kept."""
        for future in self.waiting:
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)


class Spool:
    """The writing side. `keep` is called on an event loop; one thread commits."""

    def __init__(
        self,
        path: Path,
        fail_points: FailPoints,
        *,
        most_waiting: int = MOST_WAITING,
        full: Callable[[], str] = lambda: "",
    ) -> None:
        """Raises Misconfigured when another tracker holds the spool or it cannot be opened.

        `full`: why nothing more should be kept, before the disk is so full that nothing can be.
        """
        self._full = full
        self._lock_file = _lock(path)
        self._log = EmbeddedLog(path, partitions=1, topics=(TopicSpec(HITS),))
        self._fail_points, self._most_waiting = fail_points, most_waiting
        self._journal = Journal("spool")
        self._lock = threading.Lock()
        self._gathering: Batch | None = None
        self._committing = False
        self._closing = False
        self._urgent = False
        self._broken = ""
        self._handed: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="spool", daemon=True)
        self._thread.start()

    @property
    def broken(self) -> str:
        """Why the last commit failed; empty when it did not."""
        return self._broken

    def alive(self) -> bool:
        """Whether the writer still turns."""
        return self._thread.is_alive()

    def busy(self) -> bool:
        """Whether people wait for a commit just now."""
        return self._committing

    def take_urgent(self) -> bool:
        """Whether something came in since the last call that must never be turned away."""
        urgent, self._urgent = self._urgent, False
        return urgent

    async def keep(self, hit: RawHit, at_ms: int, *, always: bool = False) -> None:
        """Return once the hit is durable. Raises NotKept.

        `always`: also beyond the bound on waiting hits and on a disk that is nearly full; for what
        must never be turned away.
        """
        await self.keep_packed(pack(hit), at_ms, always=always)

    async def keep_packed(self, hit: bytes, at_ms: int, *, always: bool = False) -> None:
        """The same for a hit that is packed already."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._closing:
                raise NotKept("the tracker is stopping")
            batch = self._gathering
            if batch is None:
                if not always and (word := self._full()):
                    raise NotKept(word)
                batch = self._gathering = Batch(loop, at_ms)
                if not self._committing:
                    loop.call_soon(self._hand_over)
            elif len(batch.hits) >= self._most_waiting and not always:
                raise NotKept(f"{self._most_waiting} hits wait for the disk already")
            batch.hits.append(hit)
            batch.waiting.append(future)
            self._urgent = self._urgent or always
        await future

    def keep_now(self, hits: Sequence[bytes], at_ms: int) -> None:
        """The same for several packed hits, from a thread of its own. Raises NotKept."""
        if word := self._full():
            raise NotKept(word)
        error = self._commit(rows(hits, at_ms))
        if error is not None:
            raise error

    def close(self) -> None:
        """Take nothing more, commit what waits, end the thread."""
        with self._lock:
            self._closing = True
        self._hand_over()
        self._handed.put(None)
        self._thread.join()
        self._log.close()
        os.close(self._lock_file)

    def _hand_over(self) -> None:
        """Let the writer begin, if it does not go on by itself."""
        with self._lock:
            batch = self._gathering
            if batch is None or self._committing:
                return
            self._gathering, self._committing = None, True
        self._handed.put(batch)

    def _write(self) -> None:
        while (batch := self._handed.get()) is not None:
            following: Batch | None = batch
            while following is not None:
                batch, error = following, self._commit(rows(following.hits, following.oldest_ms))
                with self._lock:
                    following, self._gathering = self._gathering, None
                    self._committing = following is not None
                # Where the event loop is closed, nobody waits for an answer any more.
                with suppress(RuntimeError):
                    batch.loop.call_soon_threadsafe(batch.answer, error)

    def _commit(self, records: Sequence[Record]) -> NotKept | None:
        self._fail_points.reach("tracker.spool.before_commit")
        try:
            self._log.append(records)
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear it
            if not self._broken:
                self._journal.failure("spool.unwritable", error)
            self._broken = f"{type(error).__name__}: {error}"
            return NotKept("the spool cannot be written", after_seconds=5.0)
        self._fail_points.reach("tracker.spool.after_commit")
        if self._broken:
            self._journal.info("spool.writable_again")
        self._broken = ""
        return None


def rows(hits: Sequence[bytes], at_ms: int) -> list[Record]:
    """The hits of a batch in rows of a bounded size; the key of a row is its number of hits."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for hit in hits:
        if parts[-1] and (len(parts[-1]) == ROW_HITS or size + len(hit) > ROW_BYTES):
            parts.append([])
            size = 0
        parts[-1].append(hit)
        size += len(hit)
    return [Record(HITS, 0, b"%d" % len(row), pack_row(row), (), at_ms) for row in parts]


class SpoolReader:
    """The reading side, with a connection of its own: rows in order, and away with them after."""

    def __init__(self, path: Path) -> None:
        """On an existing spool; gives it an id when it has none."""
        self._connection = open_database(path, synchronous="NORMAL", cache_mb=8)
        self._topic = Catalogue(self._connection).topic(HITS)
        self._wakeup = Wakeup(self._connection)
        self.spool_id = self._read_id()

    def read(self, next_offset: int, limit: int) -> list[Stored]:
        """Up to `limit` rows from `next_offset` on, and not many more bytes than READ_BYTES."""
        size, found = 0, []
        for stored in stream(self._connection, self._topic, 0, next_offset, limit):
            found.append(stored)
            size += len(stored.value or b"")
            if size >= READ_BYTES:
                break
        return found

    def ends(self) -> tuple[int, int]:
        """The first offset that is still there, and the next one to be written."""
        return heads(self._connection, self._topic)[0]

    def hits_from(self, next_offset: int) -> int:
        """How many hits there are from that row on."""
        ((found,),) = self._connection.execute(
            "select coalesce(sum(coalesce(cast(cast(key as text) as integer), 1)), 0) from record"
            " where topic = ? and partition = 0 and offset >= ?",
            (self._topic.number, next_offset),
        )
        return int(found)

    def wait(self, until: float) -> bool:
        """Wait for a commit until `time.monotonic()` reaches `until`."""
        return self._wakeup.wait(until)

    def trim(self, next_offset: int) -> int:
        """Wipe rows before `next_offset`, one chunk; how many went."""
        first, _ = self.ends()
        upto = min(first + TRIM_ROWS, next_offset)
        if upto <= first:
            return 0
        with transaction(self._connection) as connection:
            connection.execute(
                "delete from record where topic = ? and partition = 0 and offset < ?",
                (self._topic.number, upto),
            )
            connection.execute(
                "update head set first_offset = ? where topic = ? and partition = 0",
                (upto, self._topic.number),
            )
        return upto - first

    def renew_id(self) -> None:
        """Call the spool by a new id, so that offsets used before mean something else now."""
        with transaction(self._connection) as connection:
            connection.execute("delete from meta where name = 'spool_id'")
        self.spool_id = self._read_id()

    def doubt(self) -> int:
        """The offset from which on rows came in before the log has confirmed this spool: it may be
        an older copy, and then these offsets were used before. Kept until `confirm`.
        """
        with (
            suppress(StorageFailed),  # on a full disk hits are not kept either
            transaction(self._connection) as connection,
        ):
            connection.execute(
                "insert into meta values ('doubted_from', ?) on conflict do nothing",
                (str(self.ends()[1]),),
            )
        return self.confirmed()

    def confirmed(self) -> int:
        """The next offset, but for rows that came in while the spool was in doubt."""
        for (value,) in self._connection.execute(
            "select value from meta where name = 'doubted_from'"
        ):
            return int(value)
        return self.ends()[1]

    def confirm(self) -> None:
        """The log knows this spool."""
        with transaction(self._connection) as connection:
            connection.execute("delete from meta where name = 'doubted_from'")

    def close(self) -> None:
        self._connection.close()

    def _read_id(self) -> str:
        with transaction(self._connection) as connection:
            connection.execute(
                "insert into meta values ('spool_id', ?) on conflict do nothing",
                (uuid.uuid4().hex,),
            )
            ((spool_id,),) = connection.execute("select value from meta where name = 'spool_id'")
        return str(spool_id)


def _lock(path: Path) -> int:
    """Freed by the operating system when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise Misconfigured(
            f"{path} is in use by another tracker: stop that one, or give this one a "
            "DOORSTEP_HOME of its own"
        ) from error
    return handle
