"""Reads the ledger and the frozen sets from the stores of sender and segmenter, read-only.

Each is a SQLite file or a schema in PostgreSQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.auditor.evidence import EvidenceError, FrozenRow, LedgerRow

Source = Callable[[str, str, tuple[str, ...]], Iterator[tuple[Any, ...]]]
"""(service, table, columns) to the rows of the table. Raises EvidenceError."""

_LEDGER: Final = (
    "message_id", "send_id", "occurrence", "supporter_id", "to_address", "per_inbox", "deadline_ms",
    "state", "settled", "attempt", "reason",
)  # fmt: skip
_FROZEN: Final = ("message_id", "send_id", "supporter_id", "state", "settled", "released")
_ROWS_AT_ONCE: Final = 10_000


def read_ledger(source: Source) -> tuple[LedgerRow, ...]:
    """The table `message` of the sender's store. Raises EvidenceError."""
    return tuple(_ledger_row(row) for row in source("sender", "message", _LEDGER))


def read_frozen_sets(source: Source) -> tuple[FrozenRow, ...]:
    """The table `frozen` of the segmenter's store. Raises EvidenceError."""
    return tuple(
        FrozenRow(message, send, supporter, state, bool(settled), bool(released))
        for message, send, supporter, state, settled, released in source(
            "segmenter", "frozen", _FROZEN
        )
    )


def sqlite(path: Path) -> Source:
    """A file: the store of the service that is asked for."""

    def rows(_: str, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        if not path.is_file():
            raise EvidenceError(f"{path}: there is no such file")
        try:
            address = f"file:{quote(str(path.resolve()))}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
                yield from database.execute(f"select {', '.join(columns)} from {table}")
        except sqlite3.Error as error:
            raise EvidenceError(f"{path}: cannot read it: {error}") from error

    return rows


def postgres(dsn: str) -> Source:
    """A database: every service has a schema of its name."""

    def rows(service: str, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        question = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(service, table)
        )
        try:
            with psycopg.connect(dsn) as connection, connection.cursor(table) as cursor:
                connection.read_only = True
                cursor.itersize = _ROWS_AT_ONCE
                yield from cursor.execute(question)
        except psycopg.Error as error:
            said = str(error).partition("\n")[0]
            # Without its cause, which knows the password.
            raise EvidenceError(f"PostgreSQL, {service}.{table}: cannot read it: {said}") from None

    return rows


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
