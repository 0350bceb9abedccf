"""Fail points: the commit points at which a test may end the process, as a crash would.

`DOORSTEP_FAIL_AT=sender.attempting_committed` ends the process with SIGKILL the first time it gets
there; `...:3` the third time. With nothing set, reaching a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from shared.errors import Misconfigured

COMMIT_POINTS: Final[dict[str, str]] = {
    "stateless.before_commit": "outputs are ready, the log transaction has not begun",
    "stateless.after_commit": "outputs and positions are committed to the log",
    "stateful.before_commit": "state is written, the store transaction is still open",
    "stateful.after_commit": "state, position and outbox are committed to the store",
    "relay.before_commit": "outbox rows are read, nothing of them is on the log",
    "relay.after_commit": "outbox rows are on the log with the cursor, still in the store",
    "segmenter.freeze.before_commit": "a partition's part of an audience is chosen, not committed",
    "segmenter.freeze.after_commit": "a partition's part of an audience is frozen",
    "segmenter.release.before_commit": "a wave is cut, not committed",
    "segmenter.release.after_commit": "a wave is in the outbox",
    "segmenter.decide.after_commit": "a decision over a whole send is in the outbox",
    "sender.attempting.before_commit": "a window is chosen, nothing is written",
    "sender.attempting.after_commit": "the window is committed as attempting, no call was made",
    "sender.called": "a call to SES was answered, its outcome is not written",
    "sender.outcome.before_commit": "outcomes are written, the transaction is still open",
    "sender.outcome.after_commit": "outcomes and their events are committed to the ledger",
    "sender.settle.after_commit": "messages in doubt were settled",
    "restoring.begin.after_commit": "the log names no store, a ledger is about to be rebuilt",
    "restoring.store.after_commit": "a ledger is rebuilt, the log does not name it yet",
    "restoring.log.after_commit": "a ledger is rebuilt and the log names it",
    "sender.forget.before_commit": "people are forgotten in the ledger, nothing is committed",
    "sender.forget.after_commit": "people are forgotten in the ledger",
    "tracker.spool.before_commit": "a hit was taken, it is not durable, nobody was answered",
    "tracker.spool.after_commit": "a hit is durable, nobody was answered yet",
    "tracker.queue.before_delete": "messages of the queue are durable, and still in the queue",
    "tracker.forward.before_commit": "hits were read from the spool, none is on the log",
    "tracker.forward.after_commit": "hits are on the log with the cursor",
    "move.records.after_commit": "a batch of records is on the new log with the mark",
    "move.store.before_commit": "a store is copied, the transaction is still open",
    "move.store.after_commit": "a store is in PostgreSQL, its service's group has no position yet",
    "move.group.after_commit": "a group has its position in the new log, others have none",
}


class FailPoints:
    """Where this process shall end, if anywhere. Raises Misconfigured on an unknown point."""

    def __init__(self, setting: str) -> None:
        self._at, _, count = setting.partition(":")
        self._left = int(count or 1)
        if self._at and self._at not in COMMIT_POINTS:
            raise Misconfigured(
                f"DOORSTEP_FAIL_AT: there is no commit point {self._at!r}; known: "
                + ", ".join(COMMIT_POINTS)
            )

    def reach(self, point: str) -> None:
        """End the process here, at once and without clean-up, if this is the chosen point."""
        if point != self._at:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
