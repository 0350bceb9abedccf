"""Reads the ledger and the frozen sets from the stores of sender and segmenter, read-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from deploy.auditor.evidence import EvidenceError, FrozenRow, LedgerRow

_LEDGER: Final = (
    "select message_id, send_id, occurrence, supporter_id, to_address, per_inbox, deadline_ms,"
    " state, settled, attempt, reason from message"
)
_FROZEN: Final = "select message_id, send_id, supporter_id, state, settled, released from frozen"


def read_ledger(path: Path) -> tuple[LedgerRow, ...]:
    """The table `message` of the sender's store. Raises EvidenceError."""
    return tuple(_ledger_row(row) for row in _rows(path, _LEDGER))


def read_frozen_sets(path: Path) -> tuple[FrozenRow, ...]:
    """The table `frozen` of the segmenter's store. Raises EvidenceError."""
    return tuple(
        FrozenRow(message, send, supporter, state, bool(settled), bool(released))
        for message, send, supporter, state, settled, released in _rows(path, _FROZEN)
    )


def _ledger_row(row: tuple[Any, ...]) -> LedgerRow:
    (
        message, send, occurrence, supporter, to, per_inbox, deadline_ms, state, settled, attempt,
        reason,
    ) = row  # fmt: skip
    return LedgerRow(
        message_id=message,
        send=send,
        occurrence=occurrence,
        supporter_id=supporter,
        to_address=to,
        per_inbox=bool(per_inbox),
        deadline_ms=deadline_ms,
        state=state,
        settled=bool(settled),
        attempt=attempt,
        reason=reason,
    )


def _rows(path: Path, question: str) -> Iterator[tuple[Any, ...]]:
    if not path.is_file():
        raise EvidenceError(f"{path}: there is no such file")
    try:
        address = f"file:{quote(str(path.resolve()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
            yield from database.execute(question)
    except sqlite3.Error as error:
        raise EvidenceError(f"{path}: cannot read it: {error}") from error
