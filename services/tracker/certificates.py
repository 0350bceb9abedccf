"""Gets SNS's certificates, and confirms subscriptions: the tracker's only calls outward.

Only addresses that `services.tracker.sns` has matched in full come here. Pinned certificates come
first; what is fetched is fetched over verified TLS, without redirects, of a bounded size, within a
deadline, and remembered. Without a network nothing hangs.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import httpx

from services.tracker.sns import Untrusted
from shared.errors import RetryLater
from shared.observability.logs import Journal

FETCH_SECONDS: Final = 5.0
MOST_BYTES: Final = 65_536
REMEMBERED: Final = 32
AFTER_FAILURE_SECONDS: Final = 30.0
MOST_WAITING: Final = 8


class Unreachable(RetryLater):
    """SNS could not be asked just now."""


class Certificates:
    """Certificates by address. Used on one event loop."""

    def __init__(
        self, pinned: Path | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`pinned`: a folder of `SimpleNotificationService-....pem`. `transport`: for tests."""
        self._pinned, self._transport = pinned, transport
        self._known: dict[str, bytes] = {}
        self._failed: dict[str, float] = {}
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._journal = Journal("tracker.certificates")

    async def get(self, url: str, name: str) -> bytes:
        """The PEM text behind `url`; `name` is its last part.

        Raises Unreachable, or Untrusted when SNS has no such certificate.
        """
        known = self._known.get(url) or self._from_folder(name)
        if known is None:
            known = await self._fetched(url)
        if url not in self._known:
            _forget_oldest(self._known)
            self._known[url] = known
        return known

    async def confirm(self, url: str) -> None:
        """Visit a SubscribeURL. Raises Unreachable, or Untrusted when SNS refuses it."""
        await self._visit(url)

    def _from_folder(self, name: str) -> bytes | None:
        if self._pinned is None:
            return None
        try:
            return (self._pinned / name).read_bytes()
        except OSError:
            return None

    async def _fetched(self, url: str) -> bytes:
        """One fetch at a time; strangers with many addresses wait, and are turned away soon."""
        if self._waiting >= MOST_WAITING:
            raise Unreachable("too many certificates are being fetched")
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                return self._known.get(url) or await self._fetch(url)
        finally:
            self._waiting -= 1

    async def _fetch(self, url: str) -> bytes:
        if time.monotonic() < self._failed.get(url, 0.0):
            raise Unreachable("the certificate could not be fetched a moment ago")
        try:
            return await self._visit(url)
        except (Unreachable, Untrusted):
            _forget_oldest(self._failed)
            self._failed[url] = time.monotonic() + AFTER_FAILURE_SECONDS
            raise

    async def _visit(self, url: str) -> bytes:
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                httpx.AsyncClient(transport=self._transport, follow_redirects=False) as client,
                client.stream("GET", url) as answer,
            ):
                if 400 <= answer.status_code < 500:
                    raise Untrusted(f"SNS knows nothing of it: {answer.status_code}")
                if answer.status_code != 200:
                    raise Unreachable(f"SNS answered {answer.status_code}")
                return await _bounded(answer)
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            self._journal.warning("tracker.sns_unreachable", error=type(error).__name__)
            raise Unreachable(f"SNS could not be reached: {type(error).__name__}") from error


async def _bounded(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            raise Unreachable(f"SNS answered with more than {MOST_BYTES} bytes")
    return bytes(body)


def _forget_oldest(remembered: dict[str, bytes] | dict[str, float]) -> None:
    while len(remembered) >= REMEMBERED:
        remembered.pop(next(iter(remembered)))
