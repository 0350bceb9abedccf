"""What every route shares: verifying tokens, keeping hits, reading bodies with a bound.

The rule of the tracker stands here: nothing is answered before it is durable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter
from starlette.requests import ClientDisconnect, Request

from services.tracker.programme import Programme
from services.tracker.raw_hits import Bearer, RawHit, pack
from services.tracker.spool import NotKept, Spool
from shared.clock import Clock
from shared.errors import NeverRetry
from shared.observability.metrics import Metrics
from shared.token_keys import TokenKeys
from shared.tokens import BadToken, Token, verify

LONGEST_USER_AGENT: Final = 512
DROPPED_BYTES: Final = 1_048_576


class TooLarge(NeverRetry):
    """The body is larger than `settings.tracker.max_body_bytes`."""


@dataclass(frozen=True, slots=True)
class Intake:
    """The parts that routes are made of."""

    spool: Spool
    programme: Programme
    keys: TokenKeys
    clock: Clock
    metrics: Metrics

    def token(self, text: str) -> Token | None:
        """What the token says; None, counted, when it is forged or cut short."""
        try:
            return verify(text, self.keys.verifying())
        except BadToken:
            self.metrics.hits_refused.labels("bad_token").inc()
            return None

    def bearer(self, text: str) -> Bearer | None:
        """Who holds the token; None, counted, when it is forged or cut short."""
        token = self.token(text)
        return None if token is None else Bearer.of(token)

    async def keep(self, hit: RawHit, now_ms: int, *, always: bool = False) -> bool:
        """Whether the hit is durable now; when not, it was counted as refused."""
        kept = self.metrics.hits.labels(hit.kind)
        return await self.keep_packed(pack(hit), now_ms, kept, always=always)

    async def keep_packed(
        self, hit: bytes, now_ms: int, kept: Counter, *, always: bool = False
    ) -> bool:
        """The same for a hit that is packed already, and that `kept` counts."""
        try:
            await self.spool.keep_packed(hit, now_ms, always=always)
        except NotKept:
            self.metrics.hits_refused.labels("not_kept").inc()
            return False
        kept.inc()
        return True


def shown_user_agent(value: bytes | str | None) -> str | None:
    """A user agent as it is kept: text of a bounded length."""
    if value is None:
        return None
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text[:LONGEST_USER_AGENT]


async def body_of(request: Request, most_bytes: int) -> bytes:
    """The whole body. Raises TooLarge as soon as it is clear that it is."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most_bytes:
        raise TooLarge
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


async def beginning_of_body(request: Request, most_bytes: int) -> bytes:
    """At most that much of the body. A little more is read and dropped, so that the client hears
    the answer; one that goes away in the middle of its body has said enough.
    """
    kept = bytearray()
    size = 0
    try:
        async for chunk in request.stream():
            kept += chunk[: max(0, most_bytes - len(kept))]
            size += len(chunk)
            if size > DROPPED_BYTES:
                break
    except ClientDisconnect:
        pass
    return bytes(kept)
