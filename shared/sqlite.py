"""Opening SQLite as Doorstep needs it: a current library, WAL, one place for the pragmas.

Through apsw, because Python's own SQLite is often older than 3.51.3, which loses committed WAL
writes in a rare race of several connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import apsw

from shared.errors import Misconfigured, StorageFailed

OLDEST = (3, 51, 3)
BUSY_MS = 30_000
DISK_TROUBLE = (apsw.FullError, apsw.IOError, apsw.ReadOnlyError)


def check_library() -> None:
    """Raises Misconfigured when the SQLite library is too old to be trusted with WAL."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST:
        wanted = ".".join(str(part) for part in OLDEST)
        raise Misconfigured(
            f"SQLite {apsw.sqlite_lib_version()} can lose committed writes; "
            f"install a newer apsw (SQLite {wanted} or later)"
        )


def open_database(
    path: Path, *, synchronous: Literal["FULL", "NORMAL"], cache_mb: int = 64
) -> apsw.Connection:
    """A connection in WAL mode. FULL: durable at commit; NORMAL: replay brings the tail back.

    What it deletes is overwritten, since it may be about a person who wants to be forgotten.
    Raises Misconfigured when the file cannot be opened or is not a database.
    """
    check_library()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", synchronous)
        connection.pragma("foreign_keys", True)
        connection.pragma("cache_size", -cache_mb * 1024)
        connection.pragma("wal_autocheckpoint", 4_000)
        connection.pragma("temp_store", "memory")
        connection.pragma("secure_delete", True)
    except (apsw.CantOpenError, apsw.NotADBError, OSError) as error:
        raise Misconfigured(f"{path}: cannot open it as a database: {error}") from error
    return connection


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[apsw.Connection]:
    """`BEGIN IMMEDIATE` ... `COMMIT`; rolled back when the block raises.

    Raises StorageFailed when the disk is full or broken.
    """
    try:
        connection.execute("begin immediate")
        yield connection
        connection.execute("commit")
    except BaseException as error:
        _roll_back(connection)
        if isinstance(error, DISK_TROUBLE):
            raise disk_failed(connection, error) from error
        raise


@contextmanager
def savepoint(connection: apsw.Connection) -> Iterator[None]:
    """A part of a transaction that can be undone alone: undone when the block raises."""
    connection.execute("savepoint part")
    try:
        yield
    except BaseException as error:
        # A full disk may have rolled the whole transaction back by itself.
        if connection.in_transaction:
            connection.execute("rollback to part")
            connection.execute("release part")
        if isinstance(error, DISK_TROUBLE):
            raise disk_failed(connection, error) from error
        raise
    connection.execute("release part")


def disk_failed(connection: apsw.Connection, error: Exception) -> StorageFailed:
    """What to tell a person when SQLite could not write."""
    return StorageFailed(
        f"{connection.filename}: cannot write: {error}. Make room on that disk (or look at its "
        "health), then start again: nothing was lost, it goes on where it stopped"
    )


def _roll_back(connection: apsw.Connection) -> None:
    """SQLite rolls back by itself after some errors, a full disk among them."""
    if connection.in_transaction:
        connection.execute("rollback")
