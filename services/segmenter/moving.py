"""Moves people and frozen sets to PostgreSQL: started by `doorstep move`, the segmenter stopped."""

from __future__ import annotations

import sys
from typing import Final

from services.segmenter.people.schema import POSTGRES_DDL
from services.segmenter.schema import DDL
from shared.loop.process import run_service
from shared.settings import Settings
from shared.store.moving import answer, asked, move_store

ANOTHER_LOG: Final = "update suppression set log_offset = -1"
"""Offsets of the log that was left mean nothing in the new one: any record there replaces them."""


class Moving:
    """One move."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self) -> None:
        answer(
            move_store(
                self._settings, service="segmenter", file="people.db",
                ddl=DDL, postgres_ddl=POSTGRES_DDL,
                afterwards=(ANOTHER_LOG,), **asked(),
            )
        )  # fmt: skip

    def stop(self) -> None:
        """Nothing is written before the end."""
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run_service("moving", Moving))
