"""The preference page over the wire: what it shows, what it keeps, and what it never does."""

from __future__ import annotations

import uuid
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from shared.wire.events import Event
from shared.wire.supporters import FREQUENCY, SupporterChanged
from tests.integration.tracker.running import RunningTracker, eventually
from tests.integration.tracker.test_unsubscribing import Forms
from tests.unit.tracker.building import ADA, CAMPAIGN, SEND, message_of, token


@pytest.fixture
def somebody() -> str:
    return str(uuid.uuid4())


class Fields(HTMLParser):
    """The fields of a page by name: their values, what is chosen at first, and who has no label."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.options: dict[str, list[str]] = {}
        self.chosen: dict[str, str] = {}
        self.lang: str | None = None
        self.headings: list[str] = []
        self.roles: list[str] = []
        self.described: set[str] = set()
        self.ids: set[str] = set()
        self._labels: set[str] = set()
        self._named: dict[str, str] = {}
        self._select = ""
        self._in_label = False
        self.unlabelled: set[str] = set()
        self.feed(page)
        self.unlabelled |= {name for name, i in self._named.items() if i not in self._labels}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found["id"]} if "id" in found else set()
        self.described |= set(found.get("aria-describedby", "").split())
        self.roles += [found["role"]] if "role" in found else []
        self.lang = found.get("lang") if tag == "html" else self.lang
        self.headings += [tag] if tag in ("h1", "h2", "legend") else []
        if tag == "label":
            self._in_label = True
            self._labels |= {found["for"]} if "for" in found else set()
        self._take_field(tag, found)

    def _take_field(self, tag: str, found: dict[str, str]) -> None:
        if tag == "select":
            self._select = found["name"]
            self._named[found["name"]] = found["id"]
        if tag == "option":
            self.options.setdefault(self._select, []).append(found["value"])
            if "selected" in found:
                self.chosen[self._select] = found["value"]
        if tag == "input":
            name = found["name"]
            self.options.setdefault(name, []).append(found["value"])
            if found["type"] == "text":
                self.chosen[name] = found["value"]
                self._named[name] = found["id"]
            elif not self._in_label:
                self.unlabelled.add(name)
            if "checked" in found:
                self.chosen[name] = found["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._in_label = False


def changes(tracker: RunningTracker, supporter: str) -> list[SupporterChanged]:
    return [
        envelope.data
        for envelope in tracker.records("supporters")
        if isinstance(envelope.data, SupporterChanged) and envelope.data.supporter_id == supporter
    ]


def choose(tracker: RunningTracker, supporter: str, **chosen: str) -> httpx.Response:
    form = {name.replace("__", "."): value for name, value in chosen.items()}
    return httpx.post(f"{tracker.url}/p/{token(supporter=supporter)}", data=form)


def told(tracker: RunningTracker, supporter: str) -> tuple[SupporterChanged, Event]:
    eventually(lambda: changes(tracker, supporter), "the change")
    (change,) = changes(tracker, supporter)
    (event,) = [one for one in tracker.events("preferred") if one.supporter_id == supporter]
    return change, event


def test_looking_at_the_page_changes_nothing(home: RunningTracker) -> None:
    home.start().ready()
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        httpx.request(method, f"{home.url}/p/{token()}?topic.events=leave&often=important")
    assert home.nothing_recorded()


def test_the_page_offers_every_choice_and_begins_with_none(
    tracker: RunningTracker, somebody: str
) -> None:
    answer = httpx.get(f"{tracker.url}/p/{token(supporter=somebody)}")
    assert answer.status_code == 200
    page = Fields(answer.text)
    assert page.options == {
        **{f"topic.{name}": ["", "join", "leave"] for name in CAMPAIGN.topics},
        "often": ["", "everything", "weekly", "important"],
        "language": ["", *CAMPAIGN.languages],
        "postcode": [""],
        "seen": ["", "all", "links", "none"],
    }
    assert set(page.chosen.values()) == {""}
    assert "Jumble &lt;sales&gt;" in answer.text


def test_the_page_can_be_used_without_eyes_mouse_or_script(tracker: RunningTracker) -> None:
    text = httpx.get(f"{tracker.url}/p/{token()}").text
    page, forms = Fields(text), Forms(text)
    assert page.unlabelled == set()
    assert page.headings[0] == "h1"
    assert page.headings.count("h1") == 1
    assert page.described <= page.ids
    assert (page.lang, forms.active) == ("en", [])
    assert ([form["method"] for form in forms.forms], forms.buttons) == (["post"], 1)
    assert "tabindex" not in text


def test_nobody_is_named_to_whoever_holds_the_mail(tracker: RunningTracker) -> None:
    token_of_ada = token(supporter=ADA)
    choose(tracker, ADA, postcode="FK1 1AA", often="weekly")
    for answer in (
        httpx.get(f"{tracker.url}/p/{token_of_ada}"),
        choose(tracker, ADA, postcode="FK1 1AA"),
    ):
        assert ADA not in answer.text
        assert "FK1" not in answer.text.replace("like FK1 1AA", "")
        assert "@" not in answer.text.replace("@media", "")
        assert answer.headers["cache-control"] == "no-store"


def test_what_was_chosen_travels_to_the_segmenter_and_to_analysts(
    tracker: RunningTracker, somebody: str
) -> None:
    answer = choose(
        tracker, somebody, topic__events="leave", topic__campaign="join", often="weekly",
        language="cy", postcode=" fk1  1aa ", seen="links",
    )  # fmt: skip
    assert answer.status_code == 200
    assert 'role="status"' in answer.text
    for said in ("Events near you: Stop these", "At most one email a week", "Cymraeg", "Your area"):
        assert said in answer.text
    change, event = told(tracker, somebody)
    assert (change.stated_by, change.source) == ("supporter", "preference-page")
    assert change.topics == {"events": False, "campaign": True}
    assert change.profile == {"language": "cy", "postcode": "FK1 1AA"}
    assert change.attributes == {FREQUENCY: "weekly"}
    assert change.tracking is not None
    assert (change.tracking.allows, change.tracking.source) == ("links", "preference-page")
    assert change.tracking.wording == "What we may see: You may see which links I follow"
    assert (event.send_id, event.message_id) == (SEND, message_of(somebody))
    assert event.properties == {
        "topic.events": False, "topic.campaign": True, "frequency": "weekly", "language": "cy",
        "tracking": "links", "area": True,
    }  # fmt: skip
    assert [one.scope for one in tracker.suppressions() if one.subject == somebody] == [
        "topic:events"
    ]


def test_what_is_left_as_it_is_says_nothing(tracker: RunningTracker, somebody: str) -> None:
    choose(tracker, somebody, often="important", language="", postcode="", topic__events="")
    change, _ = told(tracker, somebody)
    assert change.attributes == {FREQUENCY: "important"}
    assert (change.profile, change.topics, change.tracking) == ({}, {}, None)


def test_nothing_chosen_is_answered_and_keeps_nothing(home: RunningTracker) -> None:
    home.start().ready()
    for body in ({}, {"often": "", "postcode": " "}, {"often": "hourly", "topic.other": "leave"}):
        answer = httpx.post(f"{home.url}/p/{token()}", data=body)
        assert answer.status_code == 200
        assert "changed nothing" in answer.text
    assert home.nothing_recorded()


@pytest.mark.parametrize("wrong", ["FK1 1AA<script>", "somewhere", "A", "x" * 50, "1@2"])
def test_a_postcode_that_is_none_is_told_where_it_was_written(
    home: RunningTracker, wrong: str
) -> None:
    home.start().ready()
    answer = httpx.post(f"{home.url}/p/{token()}", data={"postcode": wrong, "often": "weekly"})
    assert answer.status_code == 422
    page = Fields(answer.text)
    assert "alert" in page.roles
    assert page.chosen["often"] == "weekly"
    assert page.chosen["postcode"] == wrong
    assert page.described <= page.ids
    assert "<script" not in answer.text
    assert home.nothing_recorded()


def test_the_page_speaks_a_language_of_the_campaign(tracker: RunningTracker) -> None:
    for asked, lang, word in (
        ("cy", "cy", "Cadw"), ("pa", "en", "Save"), ("es", "en", "Save"), ("", "en", "Save"),
    ):  # fmt: skip
        page = httpx.get(f"{tracker.url}/p/{token()}", params={"lang": asked}).text
        assert Fields(page).lang == lang
        assert f">{word}</button>" in page


@pytest.mark.parametrize("form", ["forged", token()[:-1], token()[1:]])
def test_a_forged_token_is_answered_alike_whatever_is_asked(
    tracker: RunningTracker, form: str
) -> None:
    assert httpx.get(f"{tracker.url}/p/{form}").status_code == 404
    assert httpx.post(f"{tracker.url}/p/{form}", data={"often": "weekly"}).status_code == 404


def test_the_unsubscribe_page_leads_to_the_choice_and_back(tracker: RunningTracker) -> None:
    mark = token()
    assert f'href="/p/{mark}"' in httpx.get(f"{tracker.url}/u/{mark}").text
    assert f'href="/u/{mark}"' in httpx.get(f"{tracker.url}/p/{mark}").text


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"&" * 9_000, b"often=weekly&" * 900, b"a=" * 10_000]
)
def test_any_body_is_answered(tracker: RunningTracker, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer: Any = httpx.post(f"{tracker.url}/p/{token()}", content=body, headers=headers)
    assert answer.status_code == 200


def test_what_was_answered_survives_a_kill(home: RunningTracker, somebody: str) -> None:
    home.start(fail_at="tracker.forward.before_commit").ready()
    assert choose(home, somebody, often="weekly").status_code == 200
    assert home.ended() == -9
    home.start().ready()
    change, _ = told(home, somebody)
    assert change.attributes == {FREQUENCY: "weekly"}
