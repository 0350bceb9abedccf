"""A test's own view of a ledger, whatever body it has; nothing of the sender's code is used."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import apsw
import psycopg

from shared.log.topics import EVENTS
from tests.integration.sender.processes import until


class LedgerView(Protocol):
    """Read only."""

    def rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Empty while there is no ledger yet. Parameters are `?`."""
        ...

    def for_auditor(self) -> list[str]:
        """The options that tell the auditor where it is."""
        ...

    def close(self) -> None: ...


class LedgerFile:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        with closing(reading(self._path)) as database:
            if not list(
                database.execute("select 1 from sqlite_master where name = 'input_position'")
            ):
                return []
            return list(database.execute(sql, values))

    def for_auditor(self) -> list[str]:
        return ["--ledger", str(self._path)]

    def close(self) -> None:
        """Nothing is held open."""


class LedgerSchema:
    """The schema `sender` of a database in PostgreSQL; a server that is away is waited for."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[Any] | None = None

    def rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        found: list[list[tuple[Any, ...]]] = []

        def asked() -> bool:
            try:
                found.append(self._ask(sql, values))
            except psycopg.OperationalError:
                self.close()
            return bool(found)

        until(asked, "PostgreSQL to answer")
        return found[0]

    def for_auditor(self) -> list[str]:
        return ["--postgres", self._dsn]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, options="-c search_path=sender"
            )
        ((known,),) = self._connection.execute("select to_regclass('input_position') is not null")
        return self._connection.execute(sql.replace("?", "%s"), values).fetchall() if known else []


def has_read_events(ledger: LedgerView, ends: dict[int, int]) -> bool:
    """Whether what was on `events` at these ends is read."""
    positions = dict(
        ledger.rows("select partition, next_offset from input_position where topic = ?", (EVENTS,))
    )
    return all(positions.get(partition, 0) >= end for partition, end in ends.items())


def reading(path: Path) -> apsw.Connection:
    """A connection that cannot write."""
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    database.set_busy_timeout(10_000)
    return database
