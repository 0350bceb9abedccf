"""Before a ledger begins: where an earlier one has told of mails, it would send them again.

The log's cursor shows a store that does not belong, as long as the log remembers the group. Brokers
forget a group that was stopped for long; then what stands on `events` is all that shows it.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final

from shared.errors import WrongStore
from shared.log.port import Log
from shared.log.topics import EVENTS
from shared.store.port import Store, Unit

OURS: Final = b"sender"
READ_SECONDS: Final = 0.05


def refuse_to_begin_anew(store: Store[Unit], log: Log) -> None:
    """Raises WrongStore for a store that never owned anything, when `events` tells of another."""
    if store.last_seqs() or not _has_told(log) or store.last_seqs():
        return
    raise WrongStore(
        "the ledger is new, but an earlier one has told of mails on this log: they would be sent "
        "again. Put a copy of the ledger back, or rebuild it with `doorstep restore sender`; see "
        "docs/how-to/restore.md"
    )


def _has_told(log: Log) -> bool:
    """Whether a sender's record stands on `events`; where one has sent, one comes early."""
    with closing(log.follow(EVENTS)) as follower:
        ends = follower.end_offsets()
        while any(follower.next_offsets().get(number, 0) < end for number, end in ends.items()):
            for stored in follower.read(timeout_seconds=READ_SECONDS):
                if stored.header("ce_source") == OURS:
                    return True
    return False
