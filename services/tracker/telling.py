"""Tells one webhook of events: signed posts, in order for each supporter, until they are taken.

What is told twice has the same `webhook-id`, so that it can be recognised. Whoever does not answer
with 2xx is asked again, with pauses that grow, for as long as it takes: nothing is left out, and no
other webhook waits.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx

from shared.clock import Clock
from shared.errors import RetryLater
from shared.log.record import Record, Stored
from shared.loop.delivery import Delivery
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.programme.definitions import Webhook
from shared.standard_webhooks import ID, SIGNATURE, TIMESTAMP, signature
from shared.wire.events import Event

AT_ONCE: Final = 8
"""Supporters whose events are on their way at the same time."""
TIMEOUT_SECONDS: Final = 5.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
SLOW_PAUSE: Final = 0.2
TURN_SECONDS: Final = 20.0
REMEMBERED: Final = 10_000
"""Events that are not told again when the rest of their batch is."""


def has_no_use_for(webhook: Webhook, stored: Stored) -> bool:
    """Whether a record need not even be read, by its type."""
    kind = (stored.header("ce_type") or b"").decode("utf-8", "replace")
    return kind.removeprefix("doorstep.") not in webhook.events


def wanted(webhook: Webhook, event: Event) -> bool:
    """Whether the webhook is told of it."""
    if event.kind not in webhook.events:
        return False
    return event.kind != "acted" or not webhook.actions or event.action in webhook.actions


def message(event_id: str, event: Event) -> bytes:
    """The body: type, time and data of the event, as analysts get it."""
    data: dict[str, Any] = event.model_dump(mode="json", exclude_none=True)
    told = {"type": f"doorstep.{event.kind}", "timestamp": data["at"], "data": data}
    told["data"]["ce_id"] = event_id
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


class _Turn:
    """What those who post at the same time share: until when, and whether it is over."""

    def __init__(self, until: float) -> None:
        self.until, self.over = until, threading.Event()


class Telling:
    """The handler of one webhook's loop. `key` signs."""

    def __init__(self, webhook: Webhook, key: bytes, clock: Clock, metrics: Metrics) -> None:
        self._webhook, self._key, self._clock = webhook, key, clock
        self._posts = metrics.webhook_posts
        self._journal = Journal("tracker.telling")
        self._http = httpx.Client(
            timeout=TIMEOUT_SECONDS, trust_env=False, follow_redirects=False,
            limits=httpx.Limits(max_connections=AT_ONCE),
        )  # fmt: skip
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"webhook-{webhook.name}")
        self._told: dict[str, None] = {}
        self._pause, self._not_before = 0.0, 0.0

    def handle(self, deliveries: Sequence[Delivery]) -> list[Record]:
        """Tell of those that are wanted. Raises RetryLater when one was not taken."""
        by_supporter: defaultdict[str, list[tuple[str, Event]]] = defaultdict(list)
        for delivery in deliveries:
            event, event_id = delivery.envelope.data, delivery.envelope.id
            if event_id in self._told or not isinstance(event, Event):
                continue
            if wanted(self._webhook, event):
                by_supporter[event.supporter_id].append((event_id, event))
        if by_supporter:
            self._tell_all(list(by_supporter.values()))
        return []

    def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown()
        self._http.close()

    def _tell_all(self, groups: Sequence[Sequence[tuple[str, Event]]]) -> None:
        """Each group in its order, several at a time, none after the first that fails, and no
        longer than a turn of a loop may take: what is left comes next.
        """
        began = time.monotonic()
        if began < self._not_before:
            raise RetryLater(
                f"webhook {self._webhook.name}: not before its pause is over",
                self._not_before - began,
            )
        turn = _Turn(began + TURN_SECONDS)
        reasons = list(self._pool.map(lambda group: self._tell(group, turn), groups))
        for event_id in list(self._told)[:-REMEMBERED]:
            del self._told[event_id]
        if not turn.over.is_set():
            self._pause = 0.0
            return
        reason = next(filter(None, reasons), None)
        # Its numbers are tried one by one after this, and none of them may begin another turn.
        grown = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
        self._pause = SLOW_PAUSE if reason is None else grown
        self._not_before = time.monotonic() + self._pause
        raise RetryLater(f"webhook {self._webhook.name}: {reason or 'slow'}", self._pause)

    def _tell(self, group: Sequence[tuple[str, Event]], turn: _Turn) -> str | None:
        """Why one of them was not taken, if so."""
        for event_id, event in group:
            if time.monotonic() > turn.until:
                turn.over.set()
            if turn.over.is_set():
                return None
            reason = self._post(event_id, message(event_id, event))
            if reason is not None:
                turn.over.set()
                return reason
            self._told[event_id] = None
        return None

    def _post(self, event_id: str, body: bytes) -> str | None:
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            ID: event_id,
            TIMESTAMP: str(timestamp),
            SIGNATURE: signature(self._key, event_id, timestamp, body),
        }
        try:
            # The body of the answer is nobody's business, however long it is.
            with self._http.stream("POST", self._webhook.url, content=body, headers=headers) as got:
                if got.is_success:
                    self._posts.labels("taken").inc()
                    return None
                self._posts.labels("refused").inc()
                return f"answered {got.status_code}"
        except httpx.HTTPError as error:
            self._posts.labels("unreachable").inc()
            return f"cannot be reached: {type(error).__name__}"
