"""Whether links lead anywhere, asked of a real web server on this machine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from services.console.destinations import (
    Asked,
    Destination,
    ask_all,
    chosen,
    destinations_of,
    of_links,
)
from services.console.programme_topic import ProgrammeTable
from shared.programme.definitions import Areas, Send, Template, Variant
from shared.programme.versions import to_wire


class Site(BaseHTTPRequestHandler):
    asked: ClassVar[Counter[str]] = Counter()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.asked[f"{self.command} {self.path}"] += 1
        statuses = {
            "/gone": 404, "/broken": 500, "/bots": 403, "/moved": 302, "/circle": 302,
            "/no-head": 405 if self.command == "HEAD" else 200,
        }  # fmt: skip
        status = statuses.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/there" if self.path == "/moved" else "/circle")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Site.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_is_asked_for_and_told(site: str) -> None:
    paths = ("there", "gone", "broken", "bots", "moved", "circle", "no-head")
    asked = ask_all([Destination(f"{site}/{path}", f"f:{path}") for path in paths])
    said = {each.destination.where: (each.state, each.said) for each in asked}
    assert said == {
        "f:there": ("there", ""),
        "f:gone": ("dead", "is not there (404)"),
        "f:broken": ("dead", "answers with an error (500)"),
        "f:bots": ("unknown", "answers 403"),
        "f:moved": ("there", ""),
        "f:circle": ("dead", "leads round in a circle"),
        "f:no-head": ("there", ""),
    }
    assert Site.asked["GET /there"] == 0, "where HEAD will do, nothing is fetched"
    found = list(of_links(asked, "sends/ask.yaml"))
    assert {each.where for each in found} == {"f:gone", "f:broken", "f:circle"}
    assert {each.level for each in found} == {"warns"}


def test_hosts_that_are_not_there(site: str) -> None:
    nowhere = Destination("https://nobody.invalid/x", "a")
    refused = Destination("http://127.0.0.1:1/", "b")
    asked = ask_all([nowhere, refused])
    assert asked[0].said == "leads nowhere: there is no host nobody.invalid"
    assert asked[1].said.startswith("cannot be reached")
    (found,) = of_links(asked, "sends/ask.yaml")
    assert found.where == "sends/ask.yaml"
    assert found.what == "none of 2 addresses can be reached"
    both = [*asked, Asked(Destination(site, "c"), "there")]
    assert [each.where for each in of_links(both, "sends/ask.yaml")] == ["a", "b"]
    (timeout,) = ask_all([Destination("http://127.0.0.1:1/", "b")], timeout_seconds=0.000_001)
    assert timeout.state == "unreachable"


def table(*definitions: Any) -> ProgrammeTable:
    made = ProgrammeTable()
    for each in definitions:
        record = to_wire(each, datetime(2026, 5, 4, tzinfo=UTC))
        made.newest[record.kind, record.name] = record
    return made


def test_every_address_once_by_area_and_with_its_place() -> None:
    template = Template(
        name="ask", subject="s", text="https://e.example.org/all\nhttps://e.example.org/text",
        html='<a href="https://e.example.org/{{ area.slug }}">x</a>\n{% include "box.html.j2" %}'
        '<a href="mailto:a@example.org">m</a> <a href="{{ unsubscribe_url }}">u</a>',
        partials={"box.html.j2": '\n<a href="https://e.example.org/all">y</a>'},
    )  # fmt: skip
    by_code = {"W1": {"slug": "one"}, "W2": {"slug": "two"}, "W3": {"slug": "two"}, "W4": {}}
    areas = Areas(name="wards", kind="ward", by_code=by_code, default={"slug": "rest"})
    variants = (Variant(name="a", template="ask"), Variant(name="b", template="ask"))
    send = Send(name="ask", segment="all", areas="wards", variants=variants)
    found = destinations_of(table(template, areas, send), send)
    assert [(each.address.rpartition("/")[2], each.area, each.where) for each in found] == [
        ("all", "", "templates/_shared/box.html.j2:2"),
        ("text", "", "templates/ask/mail.txt.j2"),
        ("one", "W1", "templates/ask/mail.html.j2:1"),
        ("two", "W2", "templates/ask/mail.html.j2:1"),
        ("rest", "everybody else", "templates/ask/mail.html.j2:1"),
    ]


def test_of_many_areas_some_are_asked_for() -> None:
    general = [Destination(f"https://e.example.org/{n}", "w") for n in range(3)]
    local = [Destination(f"https://e.example.org/a{n}", "w", f"A{n:03}") for n in range(100)]
    assert chosen(general + local[:7], 10) == general + local[:7]
    some = chosen(general + local, 13)
    assert some[:3] == general
    assert [each.area for each in some[3:]] == [f"A{n:03}" for n in range(0, 100, 10)]
    assert chosen(general + local, 3) == general


def test_many_areas_of_one_link_are_one_finding() -> None:
    asked = [
        Asked(
            Destination(f"https://e.example.org/{n}", "w:1", f"A{n}"), "dead", "is not there (404)"
        )
        for n in range(3)
    ]
    (found,) = of_links(asked, "sends/ask.yaml")
    assert found.what == "https://e.example.org/0 (area A0) is not there (404), and 2 more like it"
