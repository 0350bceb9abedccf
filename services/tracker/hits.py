"""The pixel and the links: `GET|HEAD /o/{token}.gif` and `GET|HEAD /c/{token}/{n}`.

A bare ASGI callable in front of everything else, because these two carry nearly all traffic. No
address is ever taken from the request: a link leads where the programme says it leads now.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.tracker.intake import Intake, shown_user_agent
from services.tracker.pages import not_found_page, nothing_page, try_again_page
from services.tracker.raw_hits import Bearer, pack_link_hit
from services.tracker.security import DOCUMENT_HEADERS, SECURITY_HEADERS
from shared.programme.links import HIDDEN_LINK

PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one dot."""

_MOST_DIGITS: Final = 4

# What is sent, made once: making a response costs as much as all the rest of answering a hit.
_PIXEL_HEAD: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": Response(PIXEL, media_type="image/gif", headers=SECURITY_HEADERS).raw_headers,
}
_PIXEL_BODY: Final = {"type": "http.response.body", "body": PIXEL}
_REDIRECT_HEADERS: Final = Response(status_code=302, headers=SECURITY_HEADERS).raw_headers
_EMPTY_BODY: Final = {"type": "http.response.body", "body": b""}
_NO_PIXEL: Final = Response(status_code=503, headers=SECURITY_HEADERS | {"Retry-After": "5"})


class Hits:
    """Answers `/o/` and `/c/`, and hands everything else to the next application."""

    def __init__(self, intake: Intake, programme_ready: Callable[[], bool], then: ASGIApp) -> None:
        self._intake, self._programme_ready, self._then = intake, programme_ready, then
        self._opened = intake.metrics.hits.labels("opened")
        self._clicked = intake.metrics.hits.labels("clicked")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith("/o/"):
            refusal = await self._open(scope, path, send)
        elif path.startswith("/c/"):
            refusal = await self._click(scope, path, send)
        else:
            await self._then(scope, receive, send)
            return
        if refusal is not None:
            await refusal(scope, receive, send)

    async def _open(self, scope: Scope, path: str, send: Send) -> Response | None:
        """None when it was answered, else the refusal to answer with."""
        text, dot, ending = path[3:].partition(".")
        token = self._intake.token(text) if (dot, ending) == (".", "gif") else None
        if token is None:
            return not_found_page()
        method = scope["method"]
        if method not in ("GET", "HEAD"):
            return _wrong_method()
        now_ms = self._intake.clock.now_ms()
        hit = pack_link_hit("opened", now_ms, token, None, method, _user_agent(scope))
        if not await self._intake.keep_packed(hit, now_ms, self._opened):
            return _NO_PIXEL
        await send(_PIXEL_HEAD)
        await send(_PIXEL_BODY)
        return None

    async def _click(self, scope: Scope, path: str, send: Send) -> Response | None:
        """None when it was answered, else the refusal to answer with."""
        text, _, digits = path[3:].partition("/")
        number = _number(digits)
        token = self._intake.token(text) if number is not None else None
        if token is None or number is None:
            return not_found_page()
        method = scope["method"]
        if method not in ("GET", "HEAD"):
            return _wrong_method()
        now_ms = self._intake.clock.now_ms()
        hit = pack_link_hit("clicked", now_ms, token, number, method, _user_agent(scope))
        if number == HIDDEN_LINK:
            await self._intake.keep_packed(hit, now_ms, self._clicked)
            return nothing_page()
        address = self._intake.programme.destination(Bearer.of(token), number)
        if address is None:
            if not self._programme_ready():
                return try_again_page()
            self._intake.metrics.hits_refused.labels("unknown_link").inc()
            return not_found_page()
        # People get where they wanted to go, also when the click cannot be kept (it is counted).
        await self._intake.keep_packed(hit, now_ms, self._clicked)
        location = (b"location", with_token(address, text).encode("ascii"))
        headers = [*_REDIRECT_HEADERS, location]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send(_EMPTY_BODY)
        return None


def with_token(address: str, token: str) -> str:
    """The address with `d=<token>`, by which the campaign's own site reports what people did."""
    before, hash_sign, fragment = address.partition("#")
    joint = "&" if "?" in before else "?"
    if before.endswith(("?", "&")):
        joint = ""
    return f"{before}{joint}d={token}{hash_sign}{fragment}"


def _number(digits: str) -> int | None:
    """A link number in its one spelling, so that no link has two."""
    if not digits.isascii() or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        return None
    return int(digits) if str(int(digits)) == digits else None


def _user_agent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return shown_user_agent(value)
    return None


def _wrong_method() -> Response:
    return Response(
        "GET or HEAD only", status_code=405, headers=DOCUMENT_HEADERS | {"Allow": "GET, HEAD"}
    )
