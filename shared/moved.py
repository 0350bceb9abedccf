"""A home that has moved to Kafka and PostgreSQL: a file says so, and nothing embedded opens there.

Its old log and stores stand still at the day of the move: whoever went on with them would mail
people again whom the new ones have mailed. An empty new log would swallow what people click.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from shared.errors import Misconfigured

MOVED: Final = "moved"
"""Holds the brokers that the home has moved to."""


def moved_to(home: Path) -> str | None:
    """The brokers that a home has moved to; None where it has not."""
    try:
        return (home / MOVED).read_text().strip()
    except OSError:
        return None


def refuse_moved(home: Path) -> None:
    """Called before anything embedded is opened. Raises Misconfigured in a home that has moved."""
    brokers = moved_to(home)
    if brokers is not None:
        raise Misconfigured(
            f"{home} has moved to Kafka at {brokers} and to PostgreSQL, and its old log and stores "
            "must not be started again: start it with plain `doorstep up`, which remembers both, "
            "or name both to each service (DOORSTEP_LOG, DOORSTEP_POSTGRES_FILE)"
        )
