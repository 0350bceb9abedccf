"""Webhooks out: signed, in order, told until taken, going on where they were, to whom is wanted."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from shared.programme.definitions import Webhook
from shared.standard_webhooks import read_secret, verify
from tests.integration.tracker.running import ACTION_KEY, RunningTracker, eventually
from tests.unit.tracker.building import ADA, BEN, CAMPAIGN, definition_records, token

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass
class Receiver:
    """Somebody's endpoint. `answers`: statuses to be given, one a post; then 204."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    posts: int = 0
    unsigned: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, headers: Any, body: bytes) -> int:
        with self.lock:
            self.posts += 1
            try:
                verify(
                    [read_secret("", SECRET)], headers["webhook-id"], headers["webhook-timestamp"],
                    headers["webhook-signature"], body, datetime.now(UTC),
                )  # fmt: skip
            except ValueError:
                self.unsigned += 1
            if self.answers and (status := self.answers.pop(0)) != 204:
                return status
            told = json.loads(body)
            assert told["data"]["ce_id"] == headers["webhook-id"]
            self.taken.append(told)
            return 204

    def data(self, kind: str = "") -> list[dict[str, Any]]:
        with self.lock:
            return [t["data"] for t in self.taken if kind in ("", t["type"])]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(made.take(self.headers, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()


def tell(home: RunningTracker, *webhooks: Webhook) -> None:
    campaign = CAMPAIGN.model_copy(update={"webhooks": webhooks})
    home.write_log(definition_records("campaign", campaign))


def hook(receiver: Receiver, name: str = "crm", **said: Any) -> Webhook:
    said = {"events": ("acted",), **said}
    return Webhook(name=name, url=f"http://127.0.0.1:{receiver.port}/in", **said)


def start(home: RunningTracker, **environment: str) -> RunningTracker:
    secrets = json.dumps({"crm": SECRET, "other": SECRET})
    return home.start(DOORSTEP_WEBHOOK_SECRETS=secrets, **environment).ready()


def act(home: RunningTracker, who: str = ADA, **said: Any) -> str:
    answer = httpx.post(
        f"{home.url}/actions",
        json={"action": "volunteered", "supporter_id": who, **said},
        headers={"Authorization": f"Bearer {ACTION_KEY}", "Idempotency-Key": str(uuid.uuid4())},
    )
    assert answer.status_code == 200
    return str(answer.json()["event_id"])


def begun(home: RunningTracker, receiver: Receiver) -> None:
    """Wait until the webhook has begun: what happens from now on is told."""

    def told() -> bool:
        act(home, BEN, action="canvassed")
        time.sleep(0.2)
        return bool(receiver.data())

    eventually(told, "the first event")


def test_chosen_events_are_told_signed_and_in_the_order_of_each_supporter(
    home: RunningTracker, receiver: Receiver
) -> None:
    tell(home, hook(receiver, events=("acted", "unsubscribed"), actions=("canvassed", "donated")))
    start(home)
    begun(home, receiver)
    donated = [act(home, action="donated", properties={"n": n}) for n in range(20)]
    act(home, action="volunteered")
    httpx.get(f"{home.url}/o/{token()}.gif")
    httpx.post(f"{home.url}/u/{token()}")
    eventually(lambda: receiver.data("doorstep.unsubscribed"), "the unsubscribe")
    told = [one for one in receiver.data() if one["supporter_id"] == ADA]
    assert [one["ce_id"] for one in told[:-1]] == donated
    assert {one["kind"] for one in told} == {"acted", "unsubscribed"}
    assert told[0]["action"] == "donated"
    assert receiver.unsigned == 0
    assert "@" not in json.dumps(receiver.taken)


def test_a_new_webhook_is_told_nothing_of_the_past(
    home: RunningTracker, receiver: Receiver
) -> None:
    start(home)
    past = act(home)
    home.forwarded(1)
    tell(home, hook(receiver))
    begun(home, receiver)
    assert past not in {one["ce_id"] for one in receiver.data()}


def test_what_is_refused_is_told_again_until_it_is_taken(
    home: RunningTracker, receiver: Receiver
) -> None:
    tell(home, hook(receiver))
    start(home)
    begun(home, receiver)
    receiver.answers = [500, 429, 302]
    refused = act(home)
    eventually(lambda: refused in {one["ce_id"] for one in receiver.data()}, "the fourth try")
    assert receiver.answers == []
    assert home.metric("doorstep_webhook_posts_total", outcome="refused") == 3
    later = act(home)
    eventually(lambda: later in {one["ce_id"] for one in receiver.data()}, "what came later")


def test_one_that_cannot_be_reached_holds_up_no_other_and_no_click(
    home: RunningTracker, receiver: Receiver
) -> None:
    nobody = Webhook(name="other", url="http://127.0.0.1:9/in", events=("acted",))
    tell(home, nobody, hook(receiver))
    start(home)
    begun(home, receiver)
    told = act(home)
    eventually(lambda: told in {one["ce_id"] for one in receiver.data()}, "the event")
    assert home.status("/readyz") == 200
    assert httpx.get(f"{home.url}/c/{token()}/0").status_code == 302


def test_it_goes_on_where_it_was_after_a_stop(home: RunningTracker, receiver: Receiver) -> None:
    tell(home, hook(receiver))
    start(home)
    begun(home, receiver)
    assert home.stop() == 0
    told = {one["ce_id"] for one in receiver.data()}
    start(home)
    new = act(home)
    eventually(lambda: new in {one["ce_id"] for one in receiver.data()}, "the new event")
    again = [one["ce_id"] for one in receiver.data() if one["ce_id"] in told]
    assert len(again) == len(told)


def test_a_kill_before_the_position_is_saved_tells_it_again_under_the_same_id(
    home: RunningTracker, receiver: Receiver
) -> None:
    tell(home, hook(receiver))
    start(home)
    begun(home, receiver)
    assert home.stop() == 0
    start(home, fail_at="stateless.before_commit")
    told = act(home)
    assert home.ended() == -9
    start(home)
    eventually(
        lambda: [one["ce_id"] for one in receiver.data()].count(told) == 2, "the second telling"
    )


def test_without_a_secret_nobody_is_told_and_the_log_says_so(
    home: RunningTracker, receiver: Receiver
) -> None:
    tell(home, hook(receiver, name="keyless"))
    start(home)

    def complained() -> bool:
        return any(line.get("action") == "tracker.webhook_without_secret" for line in home.said())

    eventually(complained, "the complaint")
    act(home)
    assert receiver.posts == 0


def test_a_changed_or_removed_webhook_is_followed(home: RunningTracker, receiver: Receiver) -> None:
    tell(home, hook(receiver, events=("opened",)))
    start(home)
    tell(home, hook(receiver))
    begun(home, receiver)
    tell(home)
    before = receiver.posts

    def silent() -> bool:
        nonlocal before
        before = receiver.posts
        act(home)
        time.sleep(1.5)
        return receiver.posts == before

    eventually(silent, "it to be told no more")


def test_a_secret_that_is_none_is_refused_at_the_start(home: RunningTracker) -> None:
    home.start(DOORSTEP_WEBHOOK_SECRETS=json.dumps({"crm": "abc"}))
    assert home.ended() == 64
