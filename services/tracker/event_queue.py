"""Reads SES's events from an SQS queue: their other way in, besides `POST /sns`.

One thread: take up to ten, keep them in the spool, delete them from the queue, in this order. A
crash in between brings them again, and what is made of them has the same ids. Several trackers may
read one queue. What cannot be read is not deleted: the queue moves it to its own dead letters.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.tracker.notifications import KINDS
from services.tracker.queue_messages import NotTaken, read_queue_message
from services.tracker.raw_hits import SesHit, pack
from services.tracker.spool import NotKept, Spool
from shared.clock import Clock
from shared.errors import Misconfigured
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.settings import PREFIX, TrackerSettings

MESSAGES: Final = 10
"""As many as SQS gives at once."""
WAIT_SECONDS: Final = 5
"""Long polling: so long SQS waits for a message, and so long an ordered stop may take."""
FIRST_BACK_OFF: Final = 0.5
LONGEST_BACK_OFF: Final = 30.0

_REGION: Final = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


class EventQueue:
    """Reads until stopped."""

    def __init__(
        self,
        own: TrackerSettings,
        spool: Spool,
        clock: Clock,
        metrics: Metrics,
        fail_points: FailPoints,
    ) -> None:
        """Raises Misconfigured when the queue's URL is none."""
        self._url, self._topic_arns = own.queue_url, frozenset(own.topic_arns)
        self._spool, self._clock, self._metrics = spool, clock, metrics
        self._fail_points = fail_points
        self._client = _client(own)
        self._journal = Journal("tracker.queue")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread still turns."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Take nothing more; what was taken is kept, or comes again."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._client.close()

    def _run(self) -> None:
        pause = FIRST_BACK_OFF
        while not self._stopping.is_set():
            try:
                self._turn()
                pause = FIRST_BACK_OFF
                continue
            except NotKept as error:
                self._journal.warning("tracker.queue_waits", reason=str(error))
            except (BotoCoreError, ClientError) as error:
                self._metrics.queue_failures.inc()
                self._journal.error("tracker.queue_unreadable", reason=_said(error))
            except Exception as error:  # noqa: BLE001 - no message may end the thread
                self._metrics.queue_failures.inc()
                self._journal.failure("tracker.queue_broke", error)
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_BACK_OFF)

    def _turn(self) -> None:
        """One long poll. Raises NotKept, ClientError or BotoCoreError; what is not kept was not
        deleted.
        """
        answer = self._client.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=MESSAGES, WaitTimeSeconds=WAIT_SECONDS
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        if not messages:
            return
        now_ms = self._clock.now_ms()
        hits, kinds, done = [], [], []
        for message in messages:
            try:
                taken = read_queue_message(message["Body"], self._topic_arns)
            except NotTaken as error:
                self._metrics.hits_refused.labels("queue_message").inc()
                self._journal.warning("tracker.queue_message_refused", reason=str(error))
                continue
            done.append(message)
            kinds.append(taken.kind if taken.what == "ours" else taken.what)
            if taken.what == "ours":
                hits.append(pack(SesHit(at_ms=now_ms, text=taken.text)))
        if hits:
            self._spool.keep_now(hits, now_ms)
        self._count(kinds)
        self._fail_points.reach("tracker.queue.before_delete")
        self._delete(done)

    def _count(self, kinds: Sequence[str]) -> None:
        for kind in kinds:
            if kind == "greeting":
                continue
            known = kind if kind in KINDS or kind == "foreign" else "other"
            self._metrics.ses_events.labels(known).inc()
            if kind != "foreign":
                self._metrics.hits.labels("ses").inc()

    def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        if not messages:
            return
        answer = self._client.delete_message_batch(
            QueueUrl=self._url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages)
            ],
        )
        if failed := answer.get("Failed"):
            self._journal.warning("tracker.queue_undeleted", messages=len(failed))


def _client(own: TrackerSettings) -> Any:
    where = urlsplit(own.queue_url)
    if where.scheme not in ("https", "http") or not where.netloc or where.path.count("/") < 2:
        raise Misconfigured(
            f"{PREFIX}TRACKER__QUEUE_URL: {own.queue_url!r} is no URL of a queue: "
            "https://sqs.eu-west-2.amazonaws.com/123456789012/ses-events"
        )
    region = _REGION.fullmatch(where.netloc)
    config = Config(
        region_name=region[1] if region else own.queue_region,
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=5.0,
        read_timeout=WAIT_SECONDS + 10.0,
        user_agent="doorstep",
    )
    try:
        return boto3.client("sqs", config=config, endpoint_url=f"{where.scheme}://{where.netloc}")
    except (BotoCoreError, ValueError) as error:
        raise Misconfigured(f"SQS: cannot make a client: {error}") from error


def _said(error: Exception) -> str:
    if isinstance(error, ClientError):
        detail = error.response.get("Error", {})
        return f"{detail.get('Code', '')}: {detail.get('Message', '')}"
    return f"{type(error).__name__}: {error}"
