"""One HTTP/1.1 connection: writes a request, reads the response, never waits.

Only the opening of it waits.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final

import httptools

READ_BYTES: Final = 65_536
LONGEST_RESPONSE: Final = 1_048_576


class BrokenResponse(Exception):
    """What came is no HTTP response, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Response:
    """Names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """`deadline` is by the monotonic clock; `reusable` is known once a response has come."""

    def __init__(
        self, address: tuple[str, int], tls: ssl.SSLContext | None, timeout_seconds: float
    ) -> None:
        """Opens it. Raises OSError; ssl.SSLError is one."""
        self.socket = _opened(address, tls, timeout_seconds)
        self.deadline = 0.0
        self.reusable = True
        self._rests_since = time.monotonic()
        self._request, self._written = memoryview(b""), 0
        self._wants: int = selectors.EVENT_READ
        self._reading = _Reading()

    def begin(self, request: bytes, deadline: float) -> None:
        """A request to write with the next `go_on`."""
        self._request, self._written, self.deadline = memoryview(request), 0, deadline
        self._reading = _Reading()

    def go_on(self) -> Response | None:
        """Write and read what can be now; the response once it is whole.

        Raises OSError or BrokenResponse when there will be none.
        """
        try:
            if self._written < len(self._request):
                self._wants = selectors.EVENT_WRITE
                while self._written < len(self._request):
                    self._written += self.socket.send(self._request[self._written :])
                self._wants = selectors.EVENT_READ
                return None  # no answer is there yet, and to look for one costs a call
            while not self._reading.whole:
                self._reading.feed(self.socket.recv(READ_BYTES))
        except BlockingIOError:
            return None
        except ssl.SSLWantReadError:
            self._wants = selectors.EVENT_READ  # TLS may have to read before it writes
            return None
        except ssl.SSLWantWriteError:
            self._wants = selectors.EVENT_WRITE
            return None
        self.reusable = self._reading.reusable
        return self._reading.response()

    def waits_for(self) -> int:
        """The selector's event after which there is more to do."""
        return self._wants

    def nothing_written(self) -> bool:
        """Whether the system took not one byte of the request. What TLS has written is its own."""
        return not self._written and not isinstance(self.socket, ssl.SSLSocket)

    def rest(self) -> None:
        """From now on it is idle."""
        self._rests_since = time.monotonic()

    def idle_seconds(self) -> float:
        return time.monotonic() - self._rests_since

    def is_open(self) -> bool:
        """Asked while it is idle: nothing may come then but what TLS itself has to say."""
        try:
            self.socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        self.socket.close()


class _Reading:
    """A response as it comes in."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._head_is_read = False
        self._status = 0
        self.whole = False
        self.reusable = True

    def feed(self, data: bytes) -> None:
        if not data:
            self._end()
            return
        if self.whole or len(self._body) > LONGEST_RESPONSE:
            raise BrokenResponse("more than a response")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BrokenResponse(f"no HTTP response: {error}") from error

    def response(self) -> Response:
        return Response(self._status, self._headers, bytes(self._body))

    def _end(self) -> None:
        """The other end closed: a response that does not tell its length is whole then."""
        told = "content-length" in self._headers or "transfer-encoding" in self._headers
        if told or not self._head_is_read:
            raise ConnectionResetError("closed without an answer")
        self.whole, self.reusable = True, False

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.whole:
            self.reusable = False  # something came after it that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.whole:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._head_is_read = True
        if not self.whole:  # the parser goes on to what nobody asked for
            self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self.whole:
            self._body += body

    def on_message_complete(self) -> None:
        if self.whole:
            return
        if self._status < 200:  # "go on", not the answer
            self._headers.clear()
            self._head_is_read = False
            return
        self.whole = True
        self.reusable = self._parser.should_keep_alive()


def _opened(
    address: tuple[str, int], tls: ssl.SSLContext | None, timeout_seconds: float
) -> socket.socket:
    found = socket.create_connection(address, timeout_seconds)
    try:
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if tls is not None:
            found = tls.wrap_socket(found, server_hostname=address[0])
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found
