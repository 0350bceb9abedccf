"""Posts due events as signed SNS notifications until each has been taken.

At least once, in no guaranteed order, like SNS; unlike SNS nothing is ever given up. What is in an
event and when it is due was decided before; here it is only carried out.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque
from typing import Final

from deploy.ses_sandbox.event_queue import DueEvent, EventQueue
from deploy.ses_sandbox.http_post import PostConnection, PostFailed
from deploy.ses_sandbox.logs import log
from deploy.ses_sandbox.notification_envelope import notification, post_headers
from deploy.ses_sandbox.settings import SwitchBoard
from deploy.ses_sandbox.signer import Signer, SigningFailed
from deploy.ses_sandbox.signing import canonical_text

FIRST_RETRY_SECONDS: Final = 0.1
LAST_RETRY_SECONDS: Final = 5.0
POST_TIMEOUT_SECONDS: Final = 15.0
_READ_AHEAD: Final = 64
_SETTLE_SECONDS: Final = 0.01
_LONGEST_NAP_SECONDS: Final = 0.25


def retry_delay_seconds(failures: int) -> float:
    """The pause after so many failures in a row: doubled each time, up to five seconds."""
    return min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10))


class Postman:
    """Takes due events from the queue and posts them, several at once.

    `_in_hand` holds the ids that the queue still calls due although they were read: ahead, on
    their way, or done and not yet written back.
    """

    def __init__(
        self,
        queue: EventQueue,
        signer: Signer,
        board: SwitchBoard,
        *,
        topic_arn: str,
        certificate_name: str,
    ) -> None:
        self._queue = queue
        self._signer = signer
        self._board = board
        self._topic_arn = topic_arn
        self._certificate_name = certificate_name
        self._awake = asyncio.Event()
        self._in_hand: set[int] = set()
        self._ahead: deque[DueEvent] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._idle: list[PostConnection] = []
        self._failures = 0
        self._ask_again_at = 0.0
        self._posted: list[tuple[int, int]] = []
        self._failed: list[tuple[int, int]] = []

    def wake(self) -> None:
        """There may be something new to do."""
        self._awake.set()

    async def run(self) -> None:
        """Post until cancelled. What is then on its way counts as not posted."""
        try:
            while True:
                self._awake.clear()
                nap = min(self._hand_out(), _LONGEST_NAP_SECONDS)
                try:
                    async with asyncio.timeout(nap):
                        await self._awake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            self._settle()
            for connection in self._idle:
                connection.close()

    def _hand_out(self) -> float:
        """Start posting what is due; the seconds until more may be."""
        switches = self._board.now
        url = switches.sns_endpoint
        if url is None or switches.events_held:
            return _LONGEST_NAP_SECONDS
        if (pause := self._ask_again_at - time.monotonic()) > 0:
            return pause
        # While the endpoint fails, a single post at a time asks whether it is back.
        room = (1 if self._failures else switches.post_concurrency) - len(self._under_way)
        while room > 0 and (event := self._next_due()) is not None:
            task = asyncio.create_task(self._deliver(event, url))
            self._under_way.add(task)
            task.add_done_callback(self._finished)
            room -= 1
        if room <= 0:
            return _LONGEST_NAP_SECONDS
        next_ms = self._queue.next_due_ms(self._in_hand)
        return _LONGEST_NAP_SECONDS if next_ms is None else max(0.0, (next_ms - _now_ms()) / 1000)

    def _next_due(self) -> DueEvent | None:
        if not self._ahead:
            self._ahead.extend(self._queue.due(_now_ms(), _READ_AHEAD, self._in_hand))
            self._in_hand.update(event.id for event in self._ahead)
        return self._ahead.popleft() if self._ahead else None

    async def _deliver(self, event: DueEvent, url: str) -> None:
        if self._board.now.events_dropped:
            self._note(self._posted, event.id, _now_ms())
            return
        connection = self._idle.pop() if self._idle else PostConnection(POST_TIMEOUT_SECONDS)
        try:
            problem = await self._post(event, url, connection)
        except Exception as error:  # noqa: BLE001 - whatever broke, the event is not to be lost
            problem = repr(error)
        finally:
            self._idle.append(connection)
        if problem is None:
            if self._failures:
                log("sandbox.endpoint_answers_again", after_failures=self._failures)
            self._failures = 0
            self._note(self._posted, event.id, _now_ms())
            return
        if self._failures == 0:
            log("sandbox.endpoint_fails", problem=problem)
        self._failures += 1
        self._ask_again_at = time.monotonic() + retry_delay_seconds(self._failures)
        wait_ms = round(retry_delay_seconds(event.attempts + 1) * 1000)
        self._note(self._failed, event.id, _now_ms() + wait_ms)

    async def _post(self, event: DueEvent, url: str, connection: PostConnection) -> str | None:
        """None when the event was taken, else what went wrong."""
        version = self._board.now.signature_version
        envelope = notification(
            event,
            topic_arn=self._topic_arn,
            certificate_name=self._certificate_name,
            version=version,
            now_ms=_now_ms(),
        )
        try:
            signature = await self._signer.sign(version, canonical_text(envelope))
            envelope["Signature"] = base64.b64encode(signature).decode()
            status = await connection.post(
                url, post_headers(envelope), json.dumps(envelope).encode()
            )
        except (PostFailed, SigningFailed) as error:
            return str(error)
        return None if 200 <= status < 300 else f"answered {status}"

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._awake.set()

    def _note(self, settled: list[tuple[int, int]], event_id: int, at_ms: int) -> None:
        if not self._posted and not self._failed:
            asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._settle)
        settled.append((event_id, at_ms))

    def _settle(self) -> None:
        """Write back what was posted and what failed, many at a time."""
        posted, self._posted = self._posted, []
        failed, self._failed = self._failed, []
        if posted or failed:
            self._queue.settle(posted, failed)
            self._in_hand.difference_update(event_id for event_id, _ in posted + failed)
            self._awake.set()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
