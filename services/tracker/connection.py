"""One connection: what a request may be at most, and how a connection ends when the service does.

uvicorn's own protocol, which has no bound on a request's head and none on the time it takes. What
is refused here is refused before anything of it is looked at.
"""

from __future__ import annotations

from asyncio import BaseTransport, Transport
from asyncio.events import TimerHandle
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.tracker.security import DOCUMENT_HEADERS

MOST_ADDRESS_BYTES: Final = 2_048
"""Ours have some 80; what is longer is none of ours."""
MOST_HEAD_BYTES: Final = 16_384
HEAD_SECONDS: Final = 20.0
"""So long a client may take for the head of a request, and to begin its first."""
MOST_DROPPED_BYTES: Final = 1_048_576
LINGER_SECONDS: Final = 2.0
LAST_REQUEST_SECONDS: Final = 2.0
"""So long is waited at the end for the request of a connection that was taken just before."""

_END_OF_HEAD: Final = b"\r\n\r\n"


class _TooMuch(Exception):
    """Ends the parsing of a request."""


class Connection(HttpToolsProtocol):
    """Answers 414, 431 or 408 where uvicorn would go on reading."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_bytes = 0
        self._before = b""
        self._refusal = HTTPStatus.BAD_REQUEST
        self._timer: TimerHandle | None = None
        self._ending = False
        self._refused = False

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_DROPPED_BYTES:
                self.transport.close()
            return
        if self._in_head and self._head_too_large(data):
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        super().data_received(data)
        if self._in_head and self._head_bytes and self._timer is None and not self._refused:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MOST_ADDRESS_BYTES:
            self._refusal = HTTPStatus.REQUEST_URI_TOO_LONG
            raise _TooMuch

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes, self._before = False, 0, b""
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()
        if self._ending:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, _: str) -> None:
        """What uvicorn calls for every request that cannot be parsed."""
        self._refuse(self._refusal)

    def shutdown(self) -> None:
        """The service ends: answer what is in hand, also what is only on its way."""
        if self.cycle is None and not self.transport.is_closing():
            self._ending = True
            self.loop.call_later(LAST_REQUEST_SECONDS, self._close_if_silent)
        else:
            super().shutdown()

    def _head_too_large(self, data: bytes) -> bool:
        begun, self._head_bytes = self._head_bytes, self._head_bytes + len(data)
        end = -1
        if self._head_bytes > MOST_HEAD_BYTES:
            end = (self._before + data).find(_END_OF_HEAD) - len(self._before)
            if end < -len(_END_OF_HEAD) or begun + end > MOST_HEAD_BYTES:
                return True
        self._before = data[-len(_END_OF_HEAD) + 1 :]
        return False

    def _too_slow(self) -> None:
        self._timer = None
        if self._head_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif not self.transport.is_closing():
            self.transport.close()

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer, and drop what is still on its way for a moment: closed at once, a connection with
        bytes unread is reset, and the client may not hear the answer.
        """
        if self.transport.is_closing() or self._refused:
            return
        self._refused = True
        said = status.phrase.encode()
        headers = {
            **DOCUMENT_HEADERS,
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(said)),
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {int(status)} {status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + said)
        self.transport.write_eof()
        self._head_bytes = 0
        self._stop_timer()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
