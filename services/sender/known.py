"""What `events` says of each message, all in all, for a ledger that is rebuilt.

`events` is kept for ever, so it is folded into a file beside the ledger and not into memory; the
file is nobody's truth and is gone when the rebuilding ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from services.sender.intake import FROM_SES
from shared.sqlite import open_database, transaction
from shared.wire.events import FINAL_KINDS, Event, EventKind

SENDER: Final = "sender"
_TABLE: Final = """create table known(
    message_id text primary key, said text not null, reason text, settled integer not null,
    attempt integer not null, ses integer not null, ses_message_id text
) strict, without rowid"""


class Known(NamedTuple):
    """`said`: its state by the ledger's events, or else SES's; `ses`: whether SES spoke of it."""

    said: EventKind
    reason: str | None
    settled: bool
    attempt: int
    ses: bool = False
    ses_message_id: str | None = None

    @property
    def kind(self) -> EventKind:
        return "accepted" if self.ses else self.said

    @property
    def final(self) -> bool:
        """Whether nothing is in doubt about it."""
        return self.kind != "unconfirmed"

    def lifted(self, event: Event, source: str) -> Known:
        """With one more event. What SES took is accepted; else the later attempt, the settled."""
        ses_id = event.ses_message_id or self.ses_message_id
        if event.kind in FROM_SES:
            return self._replace(ses=True, ses_message_id=ses_id)
        newer = told(event)
        if source != SENDER or _rank(newer) <= _rank(self):
            return self._replace(ses_message_id=ses_id)
        return newer._replace(ses=self.ses, ses_message_id=ses_id)


def told(event: Event) -> Known:
    """What one event says."""
    return Known(
        event.kind, event.reason, event.settled, event.attempt or 0, event.kind in FROM_SES,
        event.ses_message_id,
    )  # fmt: skip


def says_a_state(event: Event, source: str) -> bool:
    """Whether it is of the ledger, or of SES; not what the segmenter says of people held back."""
    return event.kind in FROM_SES or (event.kind in FINAL_KINDS and source == SENDER)


def _rank(known: Known) -> tuple[bool, int, bool, bool]:
    return (
        known.said == "accepted", known.attempt, known.said != "unconfirmed", known.settled,
    )  # fmt: skip


class KnownMessages:
    """By message id. Used by one thread."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where there is room for it, some 200 bytes a message."""
        self._path = folder / "restoring.db"
        self._remove()  # what was left by a run that was cut off
        self._database = open_database(self._path, synchronous="NORMAL")
        self._database.execute(_TABLE)

    def hear(self, events: Sequence[tuple[str, Event, str]]) -> None:
        """More events (message id, event, source), in the order of their partition."""
        found = self.of(message_id for message_id, _, _ in events)
        for message_id, event, source in events:
            known = found.get(message_id)
            found[message_id] = told(event) if known is None else known.lifted(event, source)
        with transaction(self._database):
            self._database.executemany(
                "insert or replace into known values (?, ?, ?, ?, ?, ?, ?)",
                [(m, *known) for m, known in found.items()],
            )

    def of(self, message_ids: Iterable[str]) -> dict[str, Known]:
        """What is known of these; who is unknown is absent."""
        return dict(
            map(
                _row,
                self._database.execute(
                    "select * from known where message_id in (select value from json_each(?))",
                    (json.dumps(list(message_ids)),),
                ),
            )
        )

    def all(self, size: int) -> Iterator[dict[str, Known]]:
        """Everything, some at a time."""
        after = ""
        while found := dict(
            map(
                _row,
                self._database.execute(
                    "select * from known where message_id > ? order by message_id limit ?",
                    (after, size),
                ),
            )
        ):
            yield found
            after = max(found)

    def close(self) -> None:
        self._database.close()
        self._remove()

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)


def _row(row: Sequence[Any]) -> tuple[str, Known]:
    message_id, said, reason, settled, attempt, ses, ses_message_id = row
    return message_id, Known(said, reason, bool(settled), attempt, bool(ses), ses_message_id)
