"""`GET /p/{token}` asks what somebody wants to get, `POST /p/{token}` keeps it.

A GET changes nothing. Answered only when what was chosen is durable; nothing is shown of who holds
the token, nor of what was chosen before.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.tracker.intake import Intake, beginning_of_body, shown_user_agent
from services.tracker.pages import not_found_page, page, try_again_page
from services.tracker.preference_form import (
    Choices,
    WrongPostcode,
    fields_of,
    form,
    read_form,
    summary,
)
from services.tracker.raw_hits import Bearer, PreferencesHit
from services.tracker.wording import words_for
from shared.clock import to_ms

LONGEST_BODY: Final = 16_384


class Preferences:
    """The two routes."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/p/{token}", self._ask, methods=["GET"]),
            Route("/p/{token}", self._choose, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        token = request.path_params["token"]
        bearer = self._intake.bearer(token)
        if bearer is None:
            return not_found_page()
        campaign = self._intake.programme.campaign(bearer)
        words = words_for(campaign, request.query_params.get("lang", ""))
        body = form(words, campaign, f"/u/{token}", {})
        return page(words, words.choose_title, body, wide=True)

    async def _choose(self, request: Request) -> Response:
        token = request.path_params["token"]
        bearer = self._intake.bearer(token)
        if bearer is None:
            return not_found_page()
        campaign = self._intake.programme.campaign(bearer)
        words = words_for(campaign, request.query_params.get("lang", ""))
        posted = await beginning_of_body(request, LONGEST_BODY)
        try:
            choices = read_form(posted, campaign, words)
        except WrongPostcode:
            given = fields_of(posted)
            body = form(words, campaign, f"/u/{token}", given, wrong_postcode=True)
            title = f"{words.wrong_heading}: {words.choose_title}"
            return page(words, title, body, status=422, wide=True)
        if choices and not await self._keep(request, bearer, choices):
            return try_again_page(words)
        return page(words, words.saved_title, summary(words, campaign, choices))

    async def _keep(self, request: Request, bearer: Bearer, choices: Choices) -> bool:
        now_ms = to_ms(self._intake.clock.now())
        hit = PreferencesHit(
            at_ms=now_ms,
            bearer=bearer,
            topics=dict(choices.topics),
            frequency=choices.frequency,
            language=choices.language,
            postcode=choices.postcode,
            tracking=choices.tracking,
            wording=choices.tracking_wording,
            user_agent=shown_user_agent(request.headers.get("user-agent")),
        )
        return await self._intake.keep(hit, now_ms, always=True)
