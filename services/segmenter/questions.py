"""The segmenter's questions over HTTP: counts, listings, identities, explanations, books.

Read only, over a connection of its own; answered in a worker thread, one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import apsw
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.segmenter.people import questions as people
from services.segmenter.people.rules_sql import RuleUnusable
from services.segmenter.sends.programme import ProgrammeView
from services.segmenter.sends.questions import books, delivery_of, frozen_of
from shared.clock import Clock
from shared.programme.rules import Rule

RULE: TypeAdapter[Rule] = TypeAdapter(Rule)
MOST_KEYS = 10_000


class BadQuestion(Exception):
    """A question that cannot be answered as it was put; the text says what was wanted."""


class Questions:
    """`programme` is the loop's view; only whole attributes of it are read here."""

    def __init__(self, connection: apsw.Connection, programme: ProgrammeView, clock: Clock) -> None:
        self._db, self._programme, self._clock = connection, programme, clock
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            self._route("/ask/count", self._count, "POST"),
            self._route("/ask/segments", self._segments, "GET"),
            self._route("/ask/known", self._known, "POST"),
            self._route("/ask/explain", self._explain, "GET"),
            self._route("/ask/supporter", self._supporter, "GET"),
            self._route("/ask/books", self._books, "GET"),
        ]

    def _route(self, path: str, answer: Callable[[dict[str, Any]], Any], method: str) -> Route:
        async def endpoint(request: Request) -> JSONResponse:
            try:
                if method == "POST":
                    asked = await request.json()
                else:
                    asked = dict(request.query_params)
                if not isinstance(asked, dict):
                    raise BadQuestion("wanted: a JSON object")
                return JSONResponse(await run_in_threadpool(self._one_at_a_time, answer, asked))
            except (BadQuestion, RuleUnusable, ValueError) as error:
                return JSONResponse({"error": str(error)}, status_code=400)

        return Route(path, endpoint, methods=[method])

    def _one_at_a_time(self, answer: Callable[[dict[str, Any]], Any], asked: dict[str, Any]) -> Any:
        with self._lock:
            return answer(asked)

    def _count(self, asked: dict[str, Any]) -> Any:
        """How many match a rule, and how many of them may be mailed."""
        try:
            rule = RULE.validate_python(asked.get("rule"))
        except ValidationError as error:
            raise BadQuestion(f"not a rule: {error.errors()[0]['msg']}") from error
        return people.count_of(
            self._db, rule, self._clock.now(), topic=asked.get("topic"), send_id=asked.get("send")
        )

    def _segments(self, _: dict[str, Any]) -> Any:
        """Every segment with its counts; `members` is the live number where there is one."""
        listed = people.listing(self._db, self._programme.segments(), self._clock.now())
        return {
            "segments": [
                {**one, "name": one["segment"], "members": _first(one["live"], one.get("matching"))}
                for one in listed
            ]
        }

    def _known(self, asked: dict[str, Any]) -> Any:
        """Who is meant by each of `people`; null for nobody yet."""
        keys = asked.get("people")
        if not isinstance(keys, list) or len(keys) > MOST_KEYS:
            raise BadQuestion(f'wanted: {{"people": [...]}}, at most {MOST_KEYS}')
        return {"people": [_shown(one) for one in people.known(self._db, keys)]}

    def _supporter(self, asked: dict[str, Any]) -> Any:
        """Everything known of one supporter."""
        return {"supporter": people.profile(self._db, _wanted(asked, "supporter"))}

    def _explain(self, asked: dict[str, Any]) -> Any:
        """Why a supporter is in a segment, or in the audience of a send, or not."""
        supporter_id = _wanted(asked, "supporter")
        if "segment" in asked:
            name = asked["segment"]
            segment = next((s for s in self._programme.segments() if s.name == name), None)
            if segment is None:
                raise BadQuestion(f"there is no segment called {name!r}")
            topic = send_id = None
        else:
            send_id = _wanted(asked, "send")
            planned = self._programme.planned(send_id) or self._programme.draft(send_id)
            if planned is None:
                raise BadQuestion(f"there is no send called {send_id!r}")
            segment, topic = planned.segment, planned.send.topic
        told = people.explanation(
            self._db, segment.rule, supporter_id, self._clock.now(), topic=topic, send_id=send_id
        )
        return {
            "supporter": {
                "found": told["known"], "mailable": told["mailable"], "reasons": told["reasons"],
                "profile": people.profile(self._db, supporter_id),
            },
            "segment": {
                "name": segment.name, "holds": told["member"], "tree": _flat(told["tree"], 0),
            },
            "frozen": None if send_id is None else frozen_of(self._db, send_id, supporter_id),
            "delivery": None if send_id is None else delivery_of(self._db, send_id, supporter_id),
        }  # fmt: skip

    def _books(self, asked: dict[str, Any]) -> Any:
        """The account of a send."""
        return books(self._db, self._programme, _wanted(asked, "send"))


def _wanted(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise BadQuestion(f"wanted: {name}")
    return value


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _shown(one: dict[str, Any]) -> dict[str, Any] | None:
    if one["supporter_id"] is None:
        return None
    profile = {
        **one["fields"],
        "attributes": one["attributes"],
        "tags": one["tags"],
        "given_areas": one["given_areas"],
    }
    return {**one, "profile": profile}


def _flat(node: dict[str, Any], depth: int) -> list[dict[str, Any]]:
    """A tree as lines, parents first, each with its depth."""
    line = {"text": node["text"], "holds": node["holds"], "fact": node["fact"], "depth": depth}
    return [line, *(more for part in node["parts"] for more in _flat(part, depth + 1))]
