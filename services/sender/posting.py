"""HTTP POSTs to one host, many at once, over connections that are kept open. Knows nothing of SES.

One thread does the writing and the reading, for under the interpreter's lock more threads only hand
each other the turn; others open connections, because that waits. Nothing is ever posted twice: a
POST ends as a response, as certainly not sent, or as lost when anything of it may have left.
"""

from __future__ import annotations

import os
import queue
import selectors
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from services.sender.connection import Connection, Response

IDLE_SECONDS = 5.0
"""An idle connection is not used any more after this: the other end may be about to close it."""
BELLS = 4_096


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing of the request was written."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Lost:
    """Some or all of the request was written, and no whole answer came."""

    error: Exception


End = Response | NotSent | Lost


@dataclass(frozen=True, slots=True)
class Post:
    """`make` gives the whole request directly before it is written; it raises to withhold it.

    `ended` is called exactly once, from the thread of `Posting`, and must not wait.
    """

    make: Callable[[], bytes]
    ended: Callable[[End], None]


class Posting:
    """Posts to one host. `tls` None: in the clear."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        connections: int,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
    ) -> None:
        self._address, self._tls = (host, port), tls
        self._most = connections
        self._connect_timeout = connect_timeout_seconds
        self._read_timeout = read_timeout_seconds
        self._inbox: queue.SimpleQueue[Post | Connection | Exception] = queue.SimpleQueue()
        self._waiting: deque[Post] = deque()
        self._idle: list[Connection] = []
        self._busy: dict[Connection, Post] = {}
        self._opening = 0
        self._selector = selectors.DefaultSelector()
        self._bell, self._button = os.pipe()
        os.set_blocking(self._bell, False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._rung = False
        self._closing = threading.Event()
        self._failure: BaseException | None = None
        self._openers = ThreadPoolExecutor(connections, thread_name_prefix="ses-connect")
        self._thread = threading.Thread(target=self._run, name="ses", daemon=True)
        self._thread.start()

    def begin(self, post: Post) -> None:
        """Post this as soon as a connection is free. Returns at once.

        Raises RuntimeError when the thread was ended by a fault of ours.
        """
        if self._failure is not None:
            raise RuntimeError("the thread that posts has ended") from self._failure
        self._inbox.put(post)
        self._ring()
        if self._failure is not None:  # it ended meanwhile, perhaps without hearing of this
            raise RuntimeError("the thread that posts has ended") from self._failure

    def close(self) -> None:
        """End the thread. What is under way is lost."""
        self._closing.set()
        self._ring()
        self._thread.join()
        self._openers.shutdown()
        self._hear()
        self._end_all()
        self._selector.close()
        os.close(self._bell)
        os.close(self._button)

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            os.write(self._button, b"!")

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                for key, _ in self._selector.select(self._patience()):
                    if isinstance(key.data, Connection):
                        self._turn(key.data)
                    else:
                        self._hear()
                self._give_up_on_the_late()
                self._start()
        except BaseException as error:  # noqa: BLE001 - whoever posts must hear of it
            self._failure = error
            self._hear()
            self._end_all()

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._bell, BELLS)
        # Between the two: a bell that is set here and taken away there would never be heard.
        self._rung = False
        while not self._inbox.empty():
            match self._inbox.get():
                case Connection() as connection:
                    self._opening -= 1
                    self._selector.register(connection.socket, selectors.EVENT_READ, connection)
                    self._rest(connection)
                case Exception() as error:
                    self._opening -= 1
                    if self._waiting:
                        self._waiting.popleft().ended(NotSent(error))
                case post:
                    self._waiting.append(post)

    def _end_all(self) -> None:
        for connection in list(self._busy):
            self._lose(connection, OSError("closing"))
        while self._waiting:
            self._waiting.popleft().ended(NotSent(OSError("closing")))
        while self._idle:
            self._forget(self._idle.pop())

    def _start(self) -> None:
        """Give connections to those who wait; see that one is opened for everybody without."""
        while self._waiting and self._idle:
            connection = self._idle.pop()
            if connection.idle_seconds() > IDLE_SECONDS or not connection.is_open():
                self._forget(connection)
            else:
                self._write(connection, self._waiting.popleft())
        there = len(self._idle) + len(self._busy) + self._opening
        for _ in range(min(len(self._waiting) - self._opening, self._most - there)):
            self._opening += 1
            self._openers.submit(self._open)

    def _open(self) -> None:
        """In a thread of its own."""
        try:
            found: Connection | Exception = Connection(
                self._address, self._tls, self._connect_timeout
            )
        except Exception as error:  # noqa: BLE001 - whoever waits for a connection must hear of it
            found = error
        self._inbox.put(found)
        self._ring()

    def _write(self, connection: Connection, post: Post) -> None:
        try:
            request = post.make()
        except Exception as error:  # noqa: BLE001 - whoever waits for its end must hear of it
            self._rest(connection)
            post.ended(NotSent(error))
            return
        self._busy[connection] = post
        connection.begin(request, time.monotonic() + self._read_timeout)
        self._turn(connection)

    def _turn(self, connection: Connection) -> None:
        """Go on with what can be written or read now."""
        post = self._busy.get(connection)
        if post is None:
            if not connection.is_open():
                self._idle.remove(connection)
                self._forget(connection)
            return
        try:
            response = connection.go_on()
        except Exception as error:  # noqa: BLE001 - whatever it was, the request may have left
            self._lose(connection, error)
            return
        if response is None:
            self._selector.modify(connection.socket, connection.waits_for(), connection)
            return
        del self._busy[connection]
        if connection.reusable:
            self._rest(connection)
        else:
            self._forget(connection)
        post.ended(response)

    def _rest(self, connection: Connection) -> None:
        connection.rest()
        self._idle.append(connection)

    def _lose(self, connection: Connection, error: Exception) -> None:
        post = self._busy.pop(connection)
        self._forget(connection)
        unsent = isinstance(error, OSError) and connection.nothing_written()
        post.ended(NotSent(error) if unsent else Lost(error))

    def _forget(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.close()

    def _patience(self) -> float | None:
        """Until the first call is late; all have the same time, so the oldest is the first."""
        for connection in self._busy:
            return max(0.0, connection.deadline - time.monotonic())
        return None

    def _give_up_on_the_late(self) -> None:
        while self._busy:
            connection = next(iter(self._busy))
            if connection.deadline > time.monotonic():
                return
            self._turn(connection)  # what came while we stood still is an answer
            if connection in self._busy:
                self._lose(connection, TimeoutError("read timeout"))
