"""Opens and clicks, over the wire."""

from __future__ import annotations

import uuid

import httpx
import pytest

from shared.programme.links import HIDDEN_LINK
from shared.wire.events import Event
from tests.integration.tracker.running import RunningTracker, eventually
from tests.unit.tracker.building import SEND, TEMPLATE, definition_records, message_of, token

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/132.0.0.0 Safari/537.36"


@pytest.fixture
def somebody() -> str:
    return str(uuid.uuid4())


def events_of(tracker: RunningTracker, supporter: str, count: int) -> list[Event]:
    def found() -> list[Event]:
        return [event for event in tracker.events() if event.supporter_id == supporter]

    eventually(lambda: len(found()) >= count, f"{count} events of {supporter}")
    return found()


def test_the_pixel_is_a_picture_that_nobody_stores(tracker: RunningTracker, somebody: str) -> None:
    answer = httpx.get(
        f"{tracker.url}/o/{token(supporter=somebody, edition='E05000001')}.gif",
        headers={"User-Agent": CHROME},
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/gif"
    assert answer.content[:6] == b"GIF89a"
    assert "no-store" in answer.headers["cache-control"]
    (event,) = events_of(tracker, somebody, 1)
    assert (event.kind, event.agent, event.user_agent, event.method) == (
        "opened", "person", CHROME, "GET",
    )  # fmt: skip
    assert (event.send_id, event.variant, event.edition) == (SEND, "plain", "E05000001")
    assert event.message_id == message_of(somebody)


def test_a_link_leads_on_with_the_token_and_is_recorded(
    tracker: RunningTracker, somebody: str
) -> None:
    mark = token(supporter=somebody)
    answer = httpx.get(f"{tracker.url}/c/{mark}/0", headers={"User-Agent": CHROME})
    assert answer.status_code == 302
    assert answer.headers["location"] == (
        f"https://hilltop.example/volunteer?from=mail&d={mark}#form"
    )
    assert "no-store" in answer.headers["cache-control"]
    (event,) = events_of(tracker, somebody, 1)
    assert (event.kind, event.link, event.agent) == ("clicked", 0, "person")


def test_a_head_is_answered_like_a_get_and_recorded_as_a_scanners(
    tracker: RunningTracker, somebody: str
) -> None:
    mark = token(supporter=somebody)
    answer = httpx.head(f"{tracker.url}/c/{mark}/0", headers={"User-Agent": CHROME})
    assert (answer.status_code, answer.content) == (302, b"")
    assert httpx.head(f"{tracker.url}/o/{mark}.gif").content == b""
    first, second = events_of(tracker, somebody, 2)
    assert (first.kind, first.method, first.agent) == ("clicked", "HEAD", "scanner")
    assert (second.kind, second.method, second.agent) == ("opened", "HEAD", "scanner")


def test_the_link_that_no_person_sees_leads_nowhere_and_tells_of_a_scanner(
    tracker: RunningTracker, somebody: str
) -> None:
    mark = token(supporter=somebody)
    answer = httpx.get(f"{tracker.url}/c/{mark}/{HIDDEN_LINK}", headers={"User-Agent": CHROME})
    assert answer.status_code == 200
    assert "nothing here" in answer.text
    assert "<a" not in answer.text
    (event,) = events_of(tracker, somebody, 1)
    assert (event.kind, event.link, event.agent) == ("clicked", HIDDEN_LINK, "scanner")
    forged = f"{mark[:-1]}{'A' if mark[-1] != 'A' else 'B'}"
    assert httpx.get(f"{tracker.url}/c/{forged}/{HIDDEN_LINK}").status_code == 404


def test_a_thousand_hits_of_one_mail_are_a_thousand_events(
    tracker: RunningTracker, somebody: str
) -> None:
    mark = token(supporter=somebody)
    with httpx.Client() as client:
        for _ in range(1_000):
            assert client.get(f"{tracker.url}/o/{mark}.gif").status_code == 200
    assert len(events_of(tracker, somebody, 1_000)) == 1_000
    ids = [one.id for one in tracker.records("events")]
    assert len(ids) == len(set(ids))


def test_forged_cut_and_unknown_links_lead_nowhere_and_leave_no_trace(
    home: RunningTracker,
) -> None:
    home.start().ready()
    good = token()
    paths = [
        f"/c/{token(key=b'x' * 32)}/0", f"/c/{good[:-1]}/0", f"/c/{good}x/0", f"/c/{good}/99",
        f"/c/{good}/", f"/c/{good}", f"/c/{good}/0/1", f"/c/{good}/-1", f"/c/{good}/00",
        f"/c/{good}/1e1", f"/c/{good}/%D9%A3", f"/c/{good}/99999999999999999999",
        f"/c/{token(send='another')}/0", f"/c/{token(variant=7)}/0", f"/c/{token(key_id=2)}/0",
        "/c/", "/c//0", f"/o/{good}", f"/o/{good}.png", f"/o/{good}.gif.gif", f"/o/{good[:-2]}.gif",
        f"/o/{token(key=b'x' * 32)}.gif", "/o/.gif", "/o/%F0%9F%98%80.gif",
        "/c/https://evil.example/0?u=https://evil.example", f"/u/{good[:-1]}", "/nothing",
    ]  # fmt: skip
    for path in paths:
        answer = httpx.get(home.url + path)
        assert answer.status_code == 404, path
        assert "location" not in answer.headers
        assert "evil" not in answer.text
    assert httpx.post(f"{home.url}/c/{good}/0").status_code == 405
    assert httpx.post(f"{home.url}/o/{good}.gif").status_code == 405
    assert home.nothing_recorded()


def test_a_mended_template_mends_links_in_mails_already_delivered(home: RunningTracker) -> None:
    home.start().ready()
    old = httpx.get(f"{home.url}/c/{token()}/2").headers["location"]
    mended = TEMPLATE.model_copy(update={"html": TEMPLATE.html.replace("/s/", "/send/")})
    home.write_log(definition_records("template", mended))
    new = old.replace("/s/", "/send/")
    eventually(
        lambda: httpx.get(f"{home.url}/c/{token()}/2").headers["location"] == new,
        "the link leads to the mended address",
    )


def test_health_readiness_and_metrics_are_told(tracker: RunningTracker) -> None:
    assert tracker.metric("doorstep_start_timestamp_seconds") > 0
    assert tracker.status("/healthz") == 200
    assert tracker.status("/readyz") == 200
    httpx.get(f"{tracker.url}/o/{token()}.gif")
    assert tracker.metric("doorstep_tracked_hits_total", kind="opened") >= 1


def test_neither_tokens_nor_addresses_stand_in_the_logs(home: RunningTracker) -> None:
    home.start().ready()
    for path in (f"/o/{token()}.gif", f"/c/{token()}/0", f"/u/{token()}", f"/c/{token()}/77"):
        httpx.get(home.url + path)
    assert home.stop() == 0
    assert token() not in str(home.said())
