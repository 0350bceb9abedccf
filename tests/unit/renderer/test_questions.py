"""What the renderer answers over HTTP: trials with lint, and previews."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.applications import Starlette

from services.renderer.book import Book
from services.renderer.questions import Questions
from shared.clock import SystemClock
from shared.errors import RetryLater
from shared.programme.definitions import Areas, Variant
from tests.unit.renderer.building import (
    SIGNING,
    a_book,
    a_campaign,
    a_recipient,
    a_send,
    a_template,
)

VARIANTS = (Variant(name="a", template="ask"), Variant(name="b", template="ask", subject="B"))
WARDS = Areas(name="n", kind="k", by_code={"W1": {"slug": "one"}, "W2": {"slug": "two"}})


def house(**send: Any) -> Book:
    return a_book(a_campaign(), a_template(), WARDS, a_send(variants=VARIANTS, **send))


def ask(
    book: Book, path: str, question: Any, refresh: Callable[[], None] = lambda: None
) -> httpx.Response:
    routes = Questions(book, threading.Lock(), refresh, lambda _: SIGNING, SystemClock()).routes()

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://renderer") as client:
            return await client.post(path, json=question)

    return asyncio.run(asked())


def preview(book: Book, **question: Any) -> httpx.Response:
    return ask(book, "/ask/preview", question)


def test_a_trial_comes_with_lint() -> None:
    answer = ask(house(areas="n"), "/ask/trial", {"send": "ask"}).json()
    assert answer["faults"] == []
    (preheader, dark) = (each for each in answer["findings"] if each["part"] != "text")
    assert preheader | {"hint": ""} == {
        "level": "warns", "template": "ask", "part": "preheader", "line": 0,
        "what": "there is no preheader", "hint": "",
    }  # fmt: skip
    assert dark["what"] == "nothing says how the mail is to look in dark mode"
    late = ask(a_book(a_campaign()), "/ask/trial", {"send": "ask"}).json()
    assert late == {"faults": ["the send 'ask' has not arrived yet"], "findings": []}


def test_an_answer_is_about_what_was_applied_last() -> None:
    book = a_book(a_campaign())

    def read_on() -> None:
        book.__dict__.update(house().__dict__)

    late = ask(book, "/ask/trial", {"send": "ask"}, read_on).json()
    assert late["faults"] == []

    def brokers_away() -> None:
        raise RetryLater("a table could not be read to its end")

    assert ask(book, "/ask/trial", {"send": "ask"}, brokers_away).status_code == 503


def test_a_preview_of_somebody_made_up() -> None:
    book = house(areas="n")
    first = preview(book, send="ask").json()
    assert (first["subject"], first["variant"], first["edition"]) == ("For Ailsa", "a", "W1")
    other = preview(book, send="ask", variant="b", edition="W2", to="seed@example.org").json()
    assert (other["subject"], other["edition"]) == ("B", "W2")
    assert other["to"] == "Ailsa Muir <seed@example.org>"
    assert other["from"] == "River Town <hello@river.example.org>"
    assert "https://example.org/two" in other["html"]


def test_a_preview_of_a_recipient_is_dated_now() -> None:
    recipient = a_recipient(send_version="").model_dump(mode="json")
    found = preview(house(), recipient=recipient, variant="b").json()
    assert found["to"] == "Ada Byron <ada@example.org>"
    assert str(datetime.now(UTC).year) in found["mail"].partition("\r\n\r\n")[0]


def test_questions_that_cannot_be_answered() -> None:
    book = house(areas="n")
    for question, said in (
        ({}, 'wanted: {"send"'),
        ({"recipient": {"to": 1}}, "not a recipient"),
        ({"send": "ask", "edition": "W9"}, "there is no edition 'W9' of ask"),
        ({"send": "ask", "edition": ""}, "there is no edition '' of ask"),
        ({"send": "ask", "variant": "c"}, "has no variant 'c'"),
    ):
        answer = preview(book, **question)
        assert (answer.status_code, said in answer.json()["error"]) == (400, True), answer.text
    assert "names no areas" in preview(house(), send="ask", edition="W1").json()["error"]
    assert ask(book, "/ask/preview", ["x"]).status_code == 400
    away = preview(book, send="other")
    assert (away.status_code, away.json()["error"]) == (503, "the send 'other' has not arrived yet")
