"""The segmenter's questions over HTTP: counts, listings, identities, explanations, books.

Read only, over a connection of its own; answered in a worker thread, one at a time. Every answer is
about the people of the partitions that this instance owns, and says which ones: whoever asks all
instances adds up their answers, and sees what nobody spoke for. A question about one person goes to
the instance that owns them; another says so (421).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.segmenter.people import questions as people
from services.segmenter.people.audience import anybody, lacking
from services.segmenter.people.ownership import Owned
from services.segmenter.people.rules_sql import NUL, RuleUnusable
from services.segmenter.sends.audience_batches import recipient_now
from services.segmenter.sends.programme import ProgrammeView
from services.segmenter.sends.questions import books, delivery_of, frozen_of
from shared.clock import Clock
from shared.errors import StoreUnavailable
from shared.programme.rules import Rule
from shared.store.database import Database

RULE: TypeAdapter[Rule] = TypeAdapter(Rule)
MOST_KEYS = 10_000
MOST_NAMES = 200


class BadQuestion(Exception):
    """A question that cannot be answered as it was put; the text says what was wanted."""


class NotArrived(Exception):
    """A question about something that was applied a moment ago, or never."""


class AskAnother(Exception):
    """A question about somebody whom another instance owns; `partitions` are ours."""

    def __init__(self, partitions: list[int]) -> None:
        super().__init__("another instance owns this supporter: ask the one with their partition")
        self.partitions = partitions


Answer = Callable[[dict[str, Any], Owned], dict[str, Any]]


class Questions:
    """`programme` is the loop's view; only whole attributes of it are read here. `owned` says which
    partitions this instance owns at the moment, of `partitions` there are.
    """

    def __init__(
        self,
        connection: Database,
        programme: ProgrammeView,
        owned: Callable[[], frozenset[int]],
        partitions: int,
        clock: Clock,
    ) -> None:
        self._db, self._programme, self._clock = connection, programme, clock
        self._owned_now, self._partitions = owned, partitions
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            self._route("/ask/count", self._count, "POST"),
            self._route("/ask/lacking", self._lacking, "POST"),
            self._route("/ask/recipient", self._recipient, "GET"),
            self._route("/ask/segments", self._segments, "GET"),
            self._route("/ask/known", self._known, "POST"),
            self._route("/ask/explain", self._explain, "GET"),
            self._route("/ask/supporter", self._supporter, "GET"),
            self._route("/ask/books", self._books, "GET"),
        ]

    def _route(self, path: str, answer: Answer, method: str) -> Route:
        async def endpoint(request: Request) -> JSONResponse:
            try:
                if method == "POST":
                    asked = await request.json()
                else:
                    asked = dict(request.query_params)
                if not isinstance(asked, dict):
                    raise BadQuestion("wanted: a JSON object")
                return JSONResponse(await run_in_threadpool(self._one_at_a_time, answer, asked))
            except AskAnother as other:
                return JSONResponse(
                    {"error": str(other), "partitions": other.partitions}, status_code=421
                )
            except (NotArrived, StoreUnavailable) as error:
                return JSONResponse({"error": str(error)}, status_code=503)
            except (BadQuestion, RuleUnusable, ValueError) as error:
                return JSONResponse({"error": str(error)}, status_code=400)

        return Route(path, endpoint, methods=[method])

    def _one_at_a_time(self, answer: Answer, asked: dict[str, Any]) -> Any:
        with self._lock:
            owned = Owned(self._owned_now(), self._partitions)
            return {**answer(asked, owned), "partitions": sorted(owned.partitions)}

    def _count(self, asked: dict[str, Any], owned: Owned) -> dict[str, Any]:
        """How many match a rule, and how many of them may be mailed."""
        rule, topic, send = _rule(asked), _perhaps(asked, "topic"), _perhaps(asked, "send")
        return people.count_of(self._db, rule, self._clock.now(), owned, topic=topic, send_id=send)

    def _lacking(self, asked: dict[str, Any], owned: Owned) -> dict[str, Any]:
        """How many of those who would get a mail lack each of its `fields` and `attributes`."""
        rule, topic, send = _rule(asked), _perhaps(asked, "topic"), _perhaps(asked, "send")
        fields, attributes = _names(asked, "fields"), _names(asked, "attributes")
        found = lacking(
            self._db, rule, self._clock.now(), owned, fields, attributes,
            topic=topic, send_id=send,
        )  # fmt: skip
        return {
            "mailable": found.mailable,
            "fields": dict(found.fields), "attributes": dict(found.attributes),
        }  # fmt: skip

    def _recipient(self, asked: dict[str, Any], owned: Owned) -> dict[str, Any]:
        """What a mail of a send, as last applied, would know of a supporter, mailable or not."""
        supporter_id, send_id = _whom(asked, owned), _wanted(asked, "send")
        planned = self._programme.draft(send_id)
        if planned is None:
            raise NotArrived(f"the send {send_id!r} has not arrived yet")
        member = anybody(self._db, supporter_id)
        made = None if member is None else recipient_now(planned, member, owned.of)
        return {"recipient": made and made.model_dump(mode="json")}

    def _segments(self, _: dict[str, Any], owned: Owned) -> dict[str, Any]:
        """Every segment with its counts; `members` is the live number where there is one."""
        listed = people.listing(self._db, self._programme.segments(), self._clock.now(), owned)
        return {
            "segments": [
                {**one, "name": one["segment"], "members": _first(one["live"], one.get("matching"))}
                for one in listed
            ]
        }

    def _known(self, asked: dict[str, Any], owned: Owned) -> dict[str, Any]:
        """Who is meant by each of `people`; null for nobody yet, or for somebody of others."""
        keys = asked.get("people")
        if not isinstance(keys, list) or len(keys) > MOST_KEYS:
            raise BadQuestion(f'wanted: {{"people": [...]}}, at most {MOST_KEYS}')
        for key in keys:
            if not isinstance(key, dict):
                raise BadQuestion("people: wanted is a list of objects")
            for name in ("source", "external_id", "address_key"):
                _perhaps(key, name)
        return {"people": [_shown(one) for one in people.known(self._db, keys, owned)]}

    def _supporter(self, asked: dict[str, Any], owned: Owned) -> dict[str, Any]:
        """Everything known of one supporter."""
        return {"supporter": people.profile(self._db, _whom(asked, owned), owned)}

    def _explain(self, asked: dict[str, Any], owned: Owned) -> dict[str, Any]:
        """Why a supporter is in a segment, or in the audience of a send, or not."""
        supporter_id = _whom(asked, owned)
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
                "profile": people.profile(self._db, supporter_id, owned),
            },
            "segment": {
                "name": segment.name, "holds": told["member"], "tree": _flat(told["tree"], 0),
            },
            "frozen": None if send_id is None else frozen_of(self._db, send_id, supporter_id),
            "delivery": None if send_id is None else delivery_of(self._db, send_id, supporter_id),
        }  # fmt: skip

    def _books(self, asked: dict[str, Any], owned: Owned) -> dict[str, Any]:
        """The account of a send; of several instances' answers everything but the decision adds
        up.
        """
        return books(self._db, self._programme, _wanted(asked, "send"), owned)


def _rule(asked: dict[str, Any]) -> Rule:
    try:
        return RULE.validate_python(asked.get("rule"))
    except ValidationError as error:
        raise BadQuestion(f"not a rule: {error.errors()[0]['msg']}") from error


def _names(asked: dict[str, Any], name: str) -> list[str]:
    names = asked.get(name, [])
    if not isinstance(names, list) or not all(isinstance(n, str) and NUL not in n for n in names):
        raise BadQuestion(f"{name}: wanted is a list of names")
    if len(names) > MOST_NAMES:
        raise BadQuestion(f"{name}: at most {MOST_NAMES}")
    return names


def _whom(asked: dict[str, Any], owned: Owned) -> str:
    """The supporter asked about. Raises AskAnother."""
    supporter_id = _wanted(asked, "supporter")
    if not owned.has(supporter_id):
        raise AskAnother(sorted(owned.partitions))
    return supporter_id


def _wanted(asked: dict[str, Any], name: str) -> str:
    value = _perhaps(asked, name)
    if not value:
        raise BadQuestion(f"wanted: {name}")
    return value


def _perhaps(asked: dict[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and (not isinstance(value, str) or NUL in value):
        raise BadQuestion(f"{name}: wanted is a text")
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
