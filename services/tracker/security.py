"""The headers that every answer of the tracker has, errors included.

Whoever answers may say more, or say the same more strictly: what is there already is left.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
"""On every answer."""
DOCUMENT_HEADERS: Final = SECURITY_HEADERS | {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
}
"""On what a browser may show as a page."""

_RAW: Final = [(name.lower().encode(), value.encode()) for name, value in DOCUMENT_HEADERS.items()]


class Secured:
    """Gives an application's answers the headers that they lack."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message["headers"]}
                lacking = [header for header in _RAW if header[0] not in said]
                message = {**message, "headers": [*message["headers"], *lacking]}
            await send(message)

        await self._app(scope, receive, secured)
