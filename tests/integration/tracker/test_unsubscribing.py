"""The unsubscribe page and the mailbox providers' button, over the wire."""

from __future__ import annotations

import base64
import json
import socket
import uuid
from html.parser import HTMLParser

import httpx
import pytest

from tests.integration.tracker.running import RunningTracker, eventually
from tests.unit.tracker.building import CAMPAIGN, SEND, TOKEN_KEY_TEXT, message_of, token


@pytest.fixture
def somebody() -> str:
    return str(uuid.uuid4())


def unsubscribed(tracker: RunningTracker, supporter: str) -> bool:
    return any(
        (one.subject, one.scope, one.reason) == (supporter, "everything", "unsubscribed")
        for one in tracker.suppressions()
    )


class Forms(HTMLParser):
    """The forms of a page, and every element that could run or load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str | None]] = []
        self.buttons = 0
        self.lang: str | None = None
        self.active: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self.forms.append(found)
        if tag == "html":
            self.lang = found.get("lang")
        self.buttons += tag == "button"
        if tag in ("script", "img", "iframe", "link", "object") or any(
            name.startswith("on") for name in found
        ):
            self.active.append(tag)


def test_looking_at_the_page_unsubscribes_nobody(home: RunningTracker) -> None:
    home.start().ready()
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        httpx.request(method, f"{home.url}/u/{token()}")
    assert home.nothing_recorded()


def test_the_page_asks_in_one_form_without_names_scripts_or_anything_to_load(
    tracker: RunningTracker, somebody: str
) -> None:
    answer = httpx.get(f"{tracker.url}/u/{token(supporter=somebody)}")
    assert answer.status_code == 200
    page = Forms(answer.text)
    assert ([form["method"] for form in page.forms], page.buttons) == (["post"], 1)
    assert (page.lang, page.active) == ("en", [])
    assert CAMPAIGN.organisation.replace("&", "&amp;") in answer.text
    assert somebody not in answer.text
    assert "@" not in answer.text.replace("@media", "")


def test_pages_may_not_be_framed_sniffed_stored_or_scripted(tracker: RunningTracker) -> None:
    for path in (f"/u/{token()}", "/u/forged", "/nothing"):
        headers = httpx.get(tracker.url + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"


def test_the_form_unsubscribes(tracker: RunningTracker, somebody: str) -> None:
    answer = httpx.post(f"{tracker.url}/u/{token(supporter=somebody)}", data={})
    assert answer.status_code == 200
    assert "unsubscribed" in answer.text
    eventually(lambda: unsubscribed(tracker, somebody), "the suppression")
    (event,) = [one for one in tracker.events("unsubscribed") if one.supporter_id == somebody]
    assert (event.reason, event.send_id, event.message_id) == ("page", SEND, message_of(somebody))


@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
def test_one_click_unsubscribes_at_once_without_a_redirect(
    tracker: RunningTracker, somebody: str, kind: str
) -> None:
    url = f"{tracker.url}/u/{token(supporter=somebody)}"
    pair = {"List-Unsubscribe": "One-Click"}
    if kind == "urlencoded":
        answer = httpx.post(url, data=pair)
    else:
        answer = httpx.post(url, files={name: (None, value) for name, value in pair.items()})
    assert answer.status_code == 200
    eventually(lambda: unsubscribed(tracker, somebody), "the suppression")
    (event,) = [one for one in tracker.events("unsubscribed") if one.supporter_id == somebody]
    assert event.reason == "one-click"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("", b""),
        ("text/plain", b"List-Unsubscribe=One-Click"),
        ("application/json", b"{"),
        ("multipart/form-data", b"no boundary"),
        ("application/x-www-form-urlencoded", b"\xff\xfe\x00"),
        ("application/octet-stream", b"x" * 600_000),
    ],
)
def test_one_click_asks_nothing_of_the_body(
    tracker: RunningTracker, somebody: str, content_type: str, body: bytes
) -> None:
    url = f"{tracker.url}/u/{token(supporter=somebody)}"
    answer = httpx.post(url, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 200
    eventually(lambda: unsubscribed(tracker, somebody), "the suppression")


def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_unsubscribed(
    tracker: RunningTracker, somebody: str
) -> None:
    path = f"/u/{token(supporter=somebody)}"
    request = f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 99\r\n\r\nList-Unsub"
    with socket.create_connection(("127.0.0.1", tracker.port)) as connection:
        connection.sendall(request.encode())
    eventually(lambda: unsubscribed(tracker, somebody), "the suppression")


def test_unsubscribing_again_and_again_is_one_event_and_always_200(
    tracker: RunningTracker, somebody: str
) -> None:
    url = f"{tracker.url}/u/{token(supporter=somebody)}"
    for _ in range(3):
        assert httpx.post(url, data={"List-Unsubscribe": "One-Click"}).status_code == 200

    def told() -> list[str]:
        return [
            one.id for one in tracker.records("events")
            if one.type == "doorstep.unsubscribed" and somebody in one.data.model_dump_json()
        ]  # fmt: skip

    eventually(lambda: len(told()) == 3, "all three on the log")
    # Around midnight (UTC) a retry may belong to the next day.
    assert len(set(told())) <= 2


def test_a_forged_token_unsubscribes_nobody(home: RunningTracker) -> None:
    home.start().ready()
    for forged in (token(key=b"x" * 32), token()[:-1], "x", token(key_id=9)):
        answer = httpx.post(f"{home.url}/u/{forged}", data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 404
    assert home.nothing_recorded()


def test_a_token_of_a_retired_key_still_unsubscribes(home: RunningTracker) -> None:

    newer = base64.b64encode(b"n" * 32).decode()
    home.start(DOORSTEP_TOKEN_KEYS=json.dumps({1: TOKEN_KEY_TEXT, 2: newer})).ready()
    answer = httpx.post(f"{home.url}/u/{token(key_id=1)}")
    assert answer.status_code == 200
    assert httpx.post(f"{home.url}/u/{token(key_id=2, key=b'n' * 32)}").status_code == 200


def test_a_link_of_a_preview_does_nothing_even_with_a_token_that_would(
    home: RunningTracker,
) -> None:
    home.start().ready()
    for path in ("u/{}", "c/{}/0", "o/{}.gif"):
        address = f"{home.url}/preview/{path.format(token())}"
        for answer in (
            httpx.get(address),
            httpx.post(address, data={"List-Unsubscribe": "One-Click"}),
        ):
            assert answer.status_code == 200
            assert "This was a preview" in answer.text
            assert Forms(answer.text).forms == []
    assert home.nothing_recorded()
