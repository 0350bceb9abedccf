"""What a home is after `doorstep move`: it knows where it lives now, and its old files lie aside.

Nothing is deleted. The secret, the keys and the tracker's spool are used on, so they stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from services.console.home import (
    LOG,
    POSTGRES,
    STORES,
    keep_places,
    replace_file,
    with_log,
    with_postgres,
)
from shared.errors import Misconfigured
from shared.moved import MOVED, moved_to
from shared.settings import PREFIX, Settings

BEFORE: Final = "before-move"
"""The folder of a home with the log and the stores that it has left."""
_FILES: Final = tuple(
    f"{file}{ending}" for file in (LOG, *STORES) for ending in ("-wal", "-shm", "")
)


def destination(settings: Settings, kafka: str, postgres: str | None) -> Settings:
    """The settings as they will be there; the database from the option, else as services have it.

    Raises Misconfigured when none is named, or when the home is on Kafka or PostgreSQL already.
    """
    home = settings.home
    to = with_postgres(with_log(settings, kafka), postgres)
    if moved_to(home) is not None:
        return to
    if settings.log != "embedded":
        raise Misconfigured(f"{PREFIX}LOG is set: unset it, what is moved is the home itself")
    if not to.postgres_dsn():
        raise Misconfigured(
            f"where to? Name the database by {PREFIX}POSTGRES_FILE, a file that holds its "
            f"connection string, by {PREFIX}POSTGRES, or by --postgres"
        )
    in_files = postgres is not None or all((home / file).exists() for file in STORES)
    if (home / POSTGRES).exists() or not in_files:
        raise Misconfigured(f"{home} has its stores in PostgreSQL already: they cannot be moved")
    return to


def finish_leaving(to: Settings) -> None:
    """In a home that has moved already: do what may be left to do. Raises Misconfigured when that
    is nothing.
    """
    brokers = moved_to(to.home) or to.log
    there = [file for file in _FILES if (to.home / file).exists()]
    if not there:
        raise Misconfigured(
            f"{to.home} has been moved already, to {brokers}: start it with `doorstep up`"
        )
    leave(with_log(to, brokers))


def leave(to: Settings) -> None:
    """1. From now on nothing embedded opens here. 2. The home remembers brokers and database, as
    after `doorstep up`. 3. Log and stores are put aside. Each step may be repeated.
    """
    replace_file(to.home / MOVED, to.log)
    keep_places(to)
    for file in _FILES:
        if (to.home / file).exists():
            _put_aside(to.home, file)


def _put_aside(home: Path, file: str) -> None:
    aside = home / BEFORE / file
    try:
        aside.parent.mkdir(parents=True, exist_ok=True)
        (home / file).rename(aside)
    except OSError as error:
        raise Misconfigured(f"{home / file}: cannot put it aside: {error}") from error
