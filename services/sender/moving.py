"""Moves the ledger to PostgreSQL: started by `doorstep move`, with the sender stopped."""

from __future__ import annotations

import sys

from services.sender.schema import LEDGER_DDL
from shared.loop.process import run_service
from shared.settings import Settings
from shared.store.moving import answer, asked, move_store


class Moving:
    """One move."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self) -> None:
        answer(move_store(self._settings, service="sender", file="ledger.db", ddl=LEDGER_DDL,
                          **asked()))  # fmt: skip

    def stop(self) -> None:
        """Nothing is written before the end."""
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run_service("moving", Moving))
