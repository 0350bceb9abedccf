"""`POST /actions`, over the wire."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import httpx
import pytest

from shared.ids import address_key, supporter_id_from_address, supporter_id_from_external
from shared.standard_webhooks import read_secret, signature
from shared.wire.events import Event
from shared.wire.supporters import SupporterChanged
from tests.integration.tracker.running import (
    ACTION_KEY,
    ANOTHER_SIGNER,
    SIGNER,
    RunningTracker,
    eventually,
)
from tests.unit.tracker.building import ADA, SECRET, SEND, message_of, token

KEY = {"Authorization": f"Bearer {ACTION_KEY}"}


@pytest.fixture
def key() -> str:
    return str(uuid.uuid4())


def act(tracker: RunningTracker, key: str, **body: Any) -> httpx.Response:
    return httpx.post(
        f"{tracker.url}/actions", json={"action": "volunteered", **body},
        headers={**KEY, "Idempotency-Key": key},
    )  # fmt: skip


def event_of(tracker: RunningTracker, event_id: str) -> Event:
    def found() -> list[Event]:
        records = tracker.records("events")
        return [r.data for r in records if r.id == event_id and isinstance(r.data, Event)]

    events: list[Event] = eventually(found, f"the event {event_id}")
    return events[0]


def test_an_action_by_a_token_is_its_supporters(tracker: RunningTracker, key: str) -> None:
    answer = act(tracker, key, token=token(edition="E05000001"), properties={"hours": 2})
    assert answer.status_code == 200
    assert answer.json()["supporter_id"] == ADA
    event = event_of(tracker, answer.json()["event_id"])
    assert (event.kind, event.action, event.supporter_id) == ("acted", "volunteered", ADA)
    assert (event.send_id, event.message_id, event.came_by) == (SEND, message_of(), None)
    assert (event.variant, event.edition, event.properties) == ("plain", "E05000001", {"hours": 2})


def test_a_forwarded_mails_action_is_booked_to_the_person_named(
    tracker: RunningTracker, key: str
) -> None:
    answer = act(tracker, key, token=token(), email="Ben@Constituent.example")
    ben = supporter_id_from_address(address_key("ben@constituent.example", SECRET), SECRET)
    event = event_of(tracker, answer.json()["event_id"])
    assert (event.supporter_id, event.came_by) == (ben, ADA)
    stated = [r.data for r in tracker.records("supporters")]
    (found,) = [s for s in stated if isinstance(s, SupporterChanged) and s.supporter_id == ben]
    assert (found.profile, found.consent) == ({"email": "ben@constituent.example"}, None)
    assert "@" not in event.model_dump_json()


def test_a_person_of_another_system_is_found_by_their_id_there(
    tracker: RunningTracker, key: str
) -> None:
    answer = act(tracker, key, source="crm", external_id="7")
    assert answer.json()["supporter_id"] == supporter_id_from_external("crm", "7", SECRET)
    event = event_of(tracker, answer.json()["event_id"])
    assert (event.send_id, event.came_by) == (None, None)


def test_the_same_key_gives_the_same_event(tracker: RunningTracker, key: str) -> None:
    answers = [act(tracker, key, token=token()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["event_id"] for answer in answers}) == 1


def post(tracker: RunningTracker, content: bytes = b"{}", **headers: str) -> httpx.Response:
    own = {"Content-Type": "application/json", **KEY, "Idempotency-Key": "k"}
    return httpx.post(
        f"{tracker.url}/actions", content=content,
        headers={**own, **{name.replace("_", "-"): value for name, value in headers.items()}},
    )  # fmt: skip


def test_what_is_wrong_is_refused_in_words_and_leaves_no_trace(home: RunningTracker) -> None:
    home.start().ready()
    good = b'{"action": "volunteered", "supporter_id": "%s"}' % ADA.encode()
    refusals = [
        (401, post(home, good, Authorization="")),
        (401, post(home, good, Authorization=f"Bearer {ACTION_KEY}x")),
        (401, post(home, good, Authorization=f"Basic {ACTION_KEY}")),
        (401, post(home, good, Authorization="Bearer")),
        (415, post(home, good, Content_Type="text/plain")),
        (415, post(home, good, Content_Type="application/x-www-form-urlencoded")),
        (413, post(home, b" " * 300_000 + good)),
        (400, post(home, b"{")),
        (400, post(home, good, Idempotency_Key="")),
        (404, post(home, b'{"action": "volunteered", "token": "forged"}')),
        (422, post(home, b'{"action": "volunteered"}')),
        (422, post(home, b"[]")),
    ]
    for status, answer in refusals:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        error = answer.json()["error"]
        assert error["what"]
        assert error["where"]
        assert error["what_to_do"]
    assert "www-authenticate" in refusals[0][1].headers
    assert httpx.get(f"{home.url}/actions").status_code == 405
    assert home.nothing_recorded()


def test_a_body_that_never_says_how_long_it_is_is_cut_off(home: RunningTracker) -> None:
    home.start().ready()
    answer = httpx.post(
        f"{home.url}/actions", content=(b" " * 65_536 for _ in range(64)),
        headers={"Content-Type": "application/json", **KEY, "Idempotency-Key": "k"},
    )  # fmt: skip
    assert answer.status_code == 413
    assert home.nothing_recorded()


def test_without_any_key_set_nobody_may_report(home: RunningTracker) -> None:
    home.start(DOORSTEP_ACTION_KEYS="[]").ready()
    for authorization in ("Bearer", "Bearer x", 'Bearer ""'):
        assert post(home, Authorization=authorization).status_code == 401


def signed(
    tracker: RunningTracker, key: str, *, secret: str = SIGNER, age: int = 0, **changed: str
) -> httpx.Response:
    """An action reported as a Standard Webhook. `changed` headers are spelled with _."""
    body = json.dumps({"action": "donated", "supporter_id": ADA}).encode()
    timestamp = int(time.time()) - age
    headers = {
        "Content-Type": "application/json",
        "webhook-id": key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(read_secret("", secret), key, timestamp, body),
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return httpx.post(f"{tracker.url}/actions", content=body, headers=headers)


@pytest.mark.parametrize("secret", [SIGNER, ANOTHER_SIGNER])
def test_an_action_may_be_signed_instead_and_its_id_is_the_idempotency_key(
    tracker: RunningTracker, key: str, secret: str
) -> None:
    first, again = signed(tracker, key, secret=secret), signed(tracker, key, secret=secret)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert event_of(tracker, first.json()["event_id"]).action == "donated"


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"secret": "whsec_" + "A" * 32}, "does not fit"),
        ({"webhook_signature": "v1,AAAA v2,BBBB"}, "does not fit"),
        ({"webhook_id": "another"}, "does not fit"),
        ({"age": 301}, "more than 300 s"),
        ({"age": -302}, "more than 300 s"),
        ({"webhook_timestamp": "yesterday"}, "not a number"),
        ({"webhook_timestamp": ""}, "without webhook-id"),
        ({"webhook_signature": "v1,"}, "does not fit"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_in_words(
    tracker: RunningTracker, key: str, changed: dict[str, Any], what: str
) -> None:
    answer = signed(tracker, key, **changed)
    assert answer.status_code == 401
    assert what in answer.json()["error"]["what"]
    assert "DOORSTEP_ACTION_SECRETS" in answer.json()["error"]["what_to_do"]


def test_a_key_does_not_help_who_signs_wrongly(tracker: RunningTracker, key: str) -> None:
    answer = signed(tracker, key, webhook_signature="v1,AAAA", **KEY)
    assert answer.status_code == 401
