"""What passes between the HTTP connection and the rooms behind it: requests and answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Request:
    """One whole request. Header names are in lower case; `gone` is set when the client left."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    source_ip: str
    gone: asyncio.Event


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; the connection adds date, length and request id."""

    status: int
    body: bytes
    error_type: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The connection ends without a byte: by RST if `reset`, else by an orderly close."""

    reset: bool
