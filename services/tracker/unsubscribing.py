"""`GET /u/{token}` asks, `POST /u/{token}` does it: the page's form and RFC 8058 one-click alike.

A GET never unsubscribes: scanners follow every link of a mail. A POST acts at once, whatever its
body looks like, again and again, without redirect, cookie or rate limit; the token is the proof.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.tracker.intake import Intake, beginning_of_body, shown_user_agent
from services.tracker.pages import (
    not_found_page,
    try_again_page,
    unsubscribe_page,
    unsubscribed_page,
)
from services.tracker.raw_hits import Bearer, UnsubscribeHit
from services.tracker.wording import Words, words_for
from shared.clock import to_ms

LOOKED_AT_BYTES: Final = 16_384


class Unsubscribing:
    """The two routes."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/u/{token}", self._ask, methods=["GET"]),
            Route("/u/{token}", self._unsubscribe, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        token = request.path_params["token"]
        bearer = self._intake.bearer(token)
        if bearer is None:
            return not_found_page()
        words, organisation = self._words(bearer)
        return unsubscribe_page(words, organisation, f"/p/{token}")

    async def _unsubscribe(self, request: Request) -> Response:
        bearer = self._intake.bearer(request.path_params["token"])
        if bearer is None:
            return not_found_page()
        body = await beginning_of_body(request, LOOKED_AT_BYTES)
        now_ms = to_ms(self._intake.clock.now())
        hit = UnsubscribeHit(
            at_ms=now_ms,
            bearer=bearer,
            one_click=is_one_click(body),
            user_agent=shown_user_agent(request.headers.get("user-agent")),
        )
        words, organisation = self._words(bearer)
        if not await self._intake.keep(hit, now_ms, always=True):
            return try_again_page(words)
        return unsubscribed_page(words, organisation)

    def _words(self, bearer: Bearer) -> tuple[Words, str]:
        """The language of the page, and who sent the mail ("" when it is not known)."""
        campaign = self._intake.programme.campaign(bearer)
        return words_for(campaign), campaign.organisation if campaign is not None else ""


def is_one_click(body: bytes) -> bool:
    """Whether a mailbox provider's button was used: the pair of RFC 8058, urlencoded or multipart.

    Decides only what is noted; the unsubscribe itself asks nothing of the body.
    """
    return b"List-Unsubscribe" in body and b"One-Click" in body
