"""The renderer's questions over HTTP: trial renders, lint and previews. Nothing is sent anywhere.

A preview carries what the mail says to the person it is of: it is for people who may see it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.renderer.book import Book
from services.renderer.linting import lint
from services.renderer.previewing import NoPreview, preview, sample
from services.renderer.rendering import Signing
from services.renderer.trial import SAMPLES, trial
from shared.clock import Clock
from shared.errors import RetryLater
from shared.programme.definitions import Areas, Send
from shared.wire.batches import Recipient


class BadQuestion(Exception):
    """A question that cannot be answered as it was put; says what was wanted."""


Asked = Mapping[str, Any]


class Questions:
    """`book` is the loop's view; `lock` is held while it is read or changed. `refresh` brings it up
    to date: whoever applied something a moment ago asks about that, and about nothing older.
    """

    def __init__(
        self,
        book: Book,
        lock: threading.Lock,
        refresh: Callable[[], None],
        signing_at: Callable[[datetime], Signing],
        clock: Clock,
    ) -> None:
        self._book, self._lock, self._refresh = book, lock, refresh
        self._signing_at, self._clock = signing_at, clock

    def routes(self) -> list[Route]:
        return [
            self._route("/ask/trial", self._trial),
            self._route("/ask/preview", self._preview),
        ]

    def _route(self, path: str, answer: Callable[[Asked], dict[str, Any]]) -> Route:
        async def endpoint(request: Request) -> JSONResponse:
            try:
                asked = await request.json()
                if not isinstance(asked, dict):
                    raise BadQuestion("wanted: a JSON object")
                return JSONResponse(await run_in_threadpool(self._up_to_date, answer, asked))
            except RetryLater as error:
                return JSONResponse({"error": str(error)}, status_code=503)
            except (BadQuestion, NoPreview, ValueError) as error:
                return JSONResponse({"error": str(error)}, status_code=400)

        return Route(path, endpoint, methods=["POST"])

    def _up_to_date(
        self, answer: Callable[[Asked], dict[str, Any]], asked: Asked
    ) -> dict[str, Any]:
        self._refresh()
        with self._lock:
            return answer(asked)

    def _trial(self, asked: Asked) -> dict[str, Any]:
        """`{"send": NAME}`: `faults` of a trial render of every variant and edition, and the
        `findings` of lint.
        """
        name = _text(asked, "send")
        try:
            signing = self._signing_at(self._clock.now())
            faults = trial(self._book, name, signing)
            findings = [asdict(each) for each in lint(self._book, name, signing)]
        except RetryLater as error:
            return {"faults": [str(error)], "findings": []}
        return {"faults": faults, "findings": findings}

    def _preview(self, asked: Asked) -> dict[str, Any]:
        """The mail of `recipient`, or with `send` and perhaps `edition` that of somebody made up;
        `variant` and `to` take the place of what the recipient has.
        """
        if asked.get("recipient") is not None:
            try:
                recipient = Recipient.model_validate(asked["recipient"])
            except ValidationError as error:
                raise BadQuestion(f"not a recipient: {error.errors()[0]['msg']}") from error
        else:
            recipient = self._sample(asked)
        changes = {name: _text(asked, name) for name in ("variant", "to") if asked.get(name)}
        recipient = recipient.model_copy(update=changes)
        now = self._clock.now()
        signing = self._signing_at(now)
        return preview(self._book, recipient, signing, format_datetime(now)).as_json()

    def _sample(self, asked: Asked) -> Recipient:
        send = self._book.send(_text(asked, "send"))
        areas = self._book.areas(send.areas) if send.areas else None
        edition = asked.get("edition")
        if edition is None:
            edition = next(iter(areas.by_code), "") if areas else ""
        area = _area(send, areas, str(edition))
        return sample(send, send.variants[0].name, str(edition), area, SAMPLES["somebody"])


def _area(send: Send, areas: Areas | None, edition: str) -> Mapping[str, Any]:
    if areas is None:
        if edition:
            raise BadQuestion(f"{send.name} has no editions: it names no areas")
        return {}
    if edition in areas.by_code:
        return areas.by_code[edition]
    if edition or areas.default is None:
        raise BadQuestion(f"there is no edition {edition!r} of {send.name}")
    return areas.default


def _text(asked: Asked, name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise BadQuestion(f'wanted: {{"{name}": "..."}}')
    return value
