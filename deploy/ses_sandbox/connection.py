"""HTTP/1.1 on one connection: bytes in, whole requests out to the handler, answers back in order.

No routing and no SES in here. A connection whose request got no answer is ended, by RST or in
order, because the client must not mistake what follows for that answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, cast

import httptools

from deploy.ses_sandbox.http_messages import Answer, NoAnswer, Request
from deploy.ses_sandbox.logs import log
from deploy.ses_sandbox.message_headers import MAX_MESSAGE_BYTES
from deploy.ses_sandbox.refusals import internal_failure, request_too_large
from deploy.ses_sandbox.timestamps import http_date

Handler = Callable[[Request], Awaitable[Answer | NoAnswer]]
Clock = Callable[[], float]

# The largest message, and room for the JSON around it; what is beyond is read and thrown away.
MAX_BODY_BYTES: Final = MAX_MESSAGE_BYTES + 4 * 1024 * 1024
_ABORT: Final = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """Requests of one connection are answered one after the other."""

    def __init__(self, handler: Handler, clock: Clock, open_connections: set[Connection]) -> None:
        self._handler = handler
        self._clock = clock
        self._open_connections = open_connections
        self._gone = asyncio.Event()
        self._waiting: deque[tuple[Request | None, bool]] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._start_message()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._source_ip = str((transport.get_extra_info("peername") or ("127.0.0.1",))[0])
        self._parser = httptools.HttpRequestParser(self)
        self._open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The client is gone; what it asked for goes on."""
        self._open_connections.discard(self)
        self._gone.set()

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            self._transport.close()

    def close(self) -> None:
        """End the connection without waiting for an answer."""
        self._transport.close()

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """Part of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """A client that asks first is told to go on."""
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self._length += len(body)
        if self._length <= MAX_BODY_BYTES:
            self._body.append(body)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        """A whole request; it waits its turn."""
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            method=self._parser.get_method().decode("ascii"),
            path=path,
            query=query,
            headers=self._headers,
            body=b"".join(self._body),
            source_ip=self._source_ip,
            gone=self._gone,
        )
        too_large = self._length > MAX_BODY_BYTES
        self._waiting.append((None if too_large else request, self._parser.should_keep_alive()))
        self._start_message()
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all())

    def _start_message(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._length = 0

    async def _answer_all(self) -> None:
        while self._waiting:
            request, keep_alive = self._waiting.popleft()
            answer = await self._answer(request)
            if isinstance(answer, NoAnswer):
                self._waiting.clear()
                self._end(reset=answer.reset)
            elif not self._transport.is_closing():
                self._transport.write(_head(answer, self._clock(), keep_alive) + answer.body)
                if not keep_alive:
                    self._transport.close()
        self._answering = None

    async def _answer(self, request: Request | None) -> Answer | NoAnswer:
        if request is None:
            return request_too_large().answer()
        try:
            return await self._handler(request)
        except Exception as error:  # noqa: BLE001 - a fault of ours is a 500, as SES's is
            log("sandbox.request_broke", path=request.path, problem=repr(error))
            return internal_failure().answer()

    def _end(self, *, reset: bool) -> None:
        if not reset:
            self._transport.close()
            return
        found = self._transport.get_extra_info("socket")
        if found is not None and not self._transport.is_closing():
            # A linger of zero turns the close into a RST.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._transport.abort()


def _head(answer: Answer, now: float, keep_alive: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Date: {http_date(int(now))}",
        f"x-amzn-RequestId: {uuid.uuid4()}",
        "Content-Type: application/json",
        f"Content-Length: {len(answer.body)}",
    ]
    if answer.error_type is not None:
        lines.append(f"x-amzn-errortype: {answer.error_type}")
    if not keep_alive:
        lines.append("Connection: close")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
