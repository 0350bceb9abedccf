"""One kept-alive HTTP connection that posts and reads the status of the answer, nothing more."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_MAX_HEAD: Final = 64 * 1024


class PostFailed(Exception):
    """No answer came; the text says at which step."""


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int
    tls: bool
    path: str
    host_header: str

    @classmethod
    def of(cls, url: str) -> _Target:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = parts.port or (443 if tls else 80)
        return cls(parts.hostname or "", port, tls, path, parts.netloc.rpartition("@")[2])


class PostConnection:
    """Posts one request at a time; connects anew when the other side has closed."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._connected_to: tuple[str, int, bool] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer. Raises PostFailed."""
        target = _Target.of(url)
        request = _request(target, headers, body)
        reused = self._connected_to == (target.host, target.port, target.tls)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                try:
                    return await self._exchange(target, request)
                except (OSError, EOFError, ValueError):
                    self.close()
                    if not reused:
                        raise
                # A kept connection may have been closed by the other side in the meantime.
                return await self._exchange(target, request)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.close()
            raise PostFailed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Drop the connection."""
        if self._writer is not None:
            self._writer.close()
        self._connected_to = self._reader = self._writer = None

    async def _exchange(self, target: _Target, request: bytes) -> int:
        reader, writer = await self._connect(target)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
        status = int(status_line.split(" ", 2)[1])
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = fields.get("content-length")
        if length is not None:
            await reader.readexactly(int(length))
        keep = length is not None or status == 204
        if not keep or fields.get("connection", "").lower() == "close":
            self.close()
        return status

    async def _connect(self, target: _Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        wanted = (target.host, target.port, target.tls)
        if self._connected_to != wanted or self._reader is None or self._writer is None:
            self.close()
            context = ssl.create_default_context() if target.tls else None
            self._reader, self._writer = await asyncio.open_connection(
                target.host, target.port, ssl=context, limit=_MAX_HEAD
            )
            self._connected_to = wanted
        return self._reader, self._writer


def _request(target: _Target, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.host_header}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
