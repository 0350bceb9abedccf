"""Lets a ledger go on whose positions the log has forgotten: `doorstep restore adopt sender`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from services.sender.schema import LEDGER_DDL
from shared.log.opening import open_log
from shared.log.record import TopicPartition
from shared.log.topics import EVENTS, READS
from shared.loop.adopting import Adopting, Witness
from shared.loop.process import run_service
from shared.settings import Settings
from shared.store.database import Database
from shared.store.opening import open_store

GROUP: Final = "sender"
EACH: Final = 20


def witnesses(database: Database) -> Iterator[Witness]:
    """The events of the newest final states in each partition: told as the state was written."""
    for message_id, state, partition in database.execute(
        "select message_id, state, partition from (select message_id, state, partition,"
        " row_number() over (partition by partition order by updated_ms desc, entry_no desc) as nth"
        " from message where state not in ('ready', 'attempting', 'unconfirmed')) newest"
        " where nth <= ?",
        (EACH,),
    ):
        said = {"ce_source": GROUP, "ce_type": f"doorstep.{state}", "ce_subject": message_id}
        yield Witness(
            TopicPartition(EVENTS, int(partition)),
            tuple((name, str(value).encode()) for name, value in said.items()),
        )


class SenderAdopting:
    """One adoption."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self) -> None:
        store = open_store(self._settings, GROUP, "ledger.db", LEDGER_DDL)
        log = open_log(self._settings)
        try:
            told = witnesses(store.connection)
            Adopting(GROUP, READS[GROUP], self._settings, log, store, told).run()
        finally:
            log.close()
            store.close()

    def stop(self) -> None:
        """It writes once, at the end."""
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run_service("adopting", SenderAdopting))
