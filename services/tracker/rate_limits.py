"""So many requests a second from one client; what is beyond is answered 429 and not recorded.

Mailbox providers press the one-click button for their people from few addresses, and SNS posts from
few: what they send is never limited. Nor is a client whose address cannot be told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.tracker.client_addresses import ClientAddresses
from services.tracker.security import DOCUMENT_HEADERS

MOST_CLIENTS: Final = 100_000
"""Clients that are remembered; beyond it the longest known are forgotten, to their advantage."""


class Allowances:
    """A bucket for each client: filled at `rate` a second up to `burst`; a request takes one."""

    def __init__(self, rate: float, burst: float, most_clients: int = MOST_CLIENTS) -> None:
        self._rate, self._burst, self._most = rate, burst, most_clients
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, client: str, now: float) -> bool:
        """Whether the client may ask once more. `now` in seconds of a clock that only rises."""
        left, since = self._left.get(client, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        if client not in self._left and len(self._left) >= self._most:
            del self._left[next(iter(self._left))]
        allowed = left >= 1.0
        self._left[client] = (left - 1.0 if allowed else left, now)
        return allowed


class RateLimited:
    """Lets requests through to an application, or answers 429 in its place."""

    def __init__(
        self,
        app: ASGIApp,
        allowances: Allowances,
        addresses: ClientAddresses,
        refused: Counter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._allowances, self._addresses = app, allowances, addresses
        self._refused, self._clock = refused, clock
        self._answer = Response(status_code=429, headers=DOCUMENT_HEADERS | {"Retry-After": "1"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_spared(scope["method"], scope["path"]):
            client = self._addresses.client_of(scope)
            if client is not None and not self._allowances.take(client, self._clock()):
                self._refused.inc()
                await self._answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_spared(method: str, path: str) -> bool:
    """Whether a request is never limited: the one-click POST, and SNS. Pure."""
    return method == "POST" and (path.startswith("/u/") or path == "/sns")
