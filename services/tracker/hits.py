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
from services.tracker.raw_hits import Bearer, LinkHit
from shared.clock import to_ms
from shared.programme.links import HIDDEN_LINK

PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one dot."""

_NO_STORE: Final = {
    "Cache-Control": "no-store, no-cache, must-revalidate, max-age=0, private",
    "Pragma": "no-cache",
    "Expires": "0",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
_MOST_DIGITS: Final = 4

# Made once: making a response costs as much as all the rest of answering a hit.
_PIXEL: Final = Response(PIXEL, media_type="image/gif", headers=_NO_STORE)
_NO_PIXEL: Final = Response(status_code=503, headers=_NO_STORE | {"Retry-After": "5"})
_REDIRECT_HEADERS: Final = tuple(Response(status_code=302, headers=_NO_STORE).raw_headers)


class Hits:
    """Answers `/o/` and `/c/`, and hands everything else to the next application."""

    def __init__(self, intake: Intake, programme_ready: Callable[[], bool], then: ASGIApp) -> None:
        self._intake, self._programme_ready, self._then = intake, programme_ready, then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith("/c/"):
            response = await self._click(scope, path)
        elif path.startswith("/o/"):
            response = await self._open(scope, path)
        else:
            await self._then(scope, receive, send)
            return
        await response(scope, receive, send)

    async def _open(self, scope: Scope, path: str) -> Response:
        token, dot, ending = path[3:].partition(".")
        bearer = self._intake.bearer(token) if (dot, ending) == (".", "gif") else None
        if bearer is None:
            return not_found_page()
        if scope["method"] not in ("GET", "HEAD"):
            return _wrong_method()
        return _PIXEL if await self._keep(scope, "opened", bearer, None) else _NO_PIXEL

    async def _click(self, scope: Scope, path: str) -> Response:
        token, _, digits = path[3:].partition("/")
        number = _number(digits)
        bearer = self._intake.bearer(token) if number is not None else None
        if bearer is None or number is None:
            return not_found_page()
        if scope["method"] not in ("GET", "HEAD"):
            return _wrong_method()
        if number == HIDDEN_LINK:
            await self._keep(scope, "clicked", bearer, number)
            return nothing_page()
        address = self._intake.programme.destination(bearer, number)
        if address is None:
            if not self._programme_ready():
                return try_again_page()
            self._intake.metrics.hits_refused.labels("unknown_link").inc()
            return not_found_page()
        # People get where they wanted to go, also when the click cannot be kept (it is counted).
        await self._keep(scope, "clicked", bearer, number)
        return _redirect(with_token(address, token))

    async def _keep(self, scope: Scope, kind: str, bearer: Bearer, link: int | None) -> bool:
        now_ms = to_ms(self._intake.clock.now())
        hit = LinkHit(
            kind="clicked" if kind == "clicked" else "opened",
            at_ms=now_ms,
            bearer=bearer,
            link=link,
            method=scope["method"],
            user_agent=_user_agent(scope),
        )
        return await self._intake.keep(hit, now_ms)


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


def _redirect(address: str) -> Response:
    response = Response(status_code=302)
    response.raw_headers = [*_REDIRECT_HEADERS, (b"location", address.encode("ascii"))]
    return response


def _wrong_method() -> Response:
    return Response("GET or HEAD only", status_code=405, headers={"Allow": "GET, HEAD"})
