"""Lets people and sends go on whose positions the log has forgotten: `doorstep restore adopt`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from services.segmenter.people.schema import POSTGRES_DDL
from services.segmenter.schema import DDL
from shared.ids import event_id
from shared.log.opening import open_log
from shared.log.partitioner import partition_of
from shared.log.record import TopicPartition
from shared.log.topics import CONTROL, READS
from shared.loop.adopting import Adopting, Witness
from shared.loop.process import run_service
from shared.settings import Settings
from shared.store.database import Database
from shared.store.opening import open_store

GROUP: Final = "segmenter"
EACH: Final = 5


def witnesses(database: Database, partitions: int) -> Iterator[Witness]:
    """What was told of the newest frozen sets of each partition, as they were frozen."""
    for send_id, partition in database.execute(
        "select send_id, partition from (select send_id, partition,"
        " row_number() over (partition by partition order by as_of_ms desc) as nth"
        " from send_part where occurrence = 0) newest where nth <= ?",
        (EACH,),
    ):
        yield Witness(
            TopicPartition(CONTROL, partition_of(str(send_id), partitions)),
            (("ce_id", event_id("freeze", str(send_id), 0, int(partition)).encode()),),
        )


class SegmenterAdopting:
    """One adoption."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self) -> None:
        settings = self._settings
        store = open_store(settings, GROUP, "people.db", DDL, postgres_ddl=POSTGRES_DDL)
        log = open_log(settings)
        try:
            told = witnesses(store.connection, settings.partitions)
            Adopting(GROUP, READS[GROUP], settings, log, store, told).run()
        finally:
            log.close()
            store.close()

    def stop(self) -> None:
        """It writes once, at the end."""
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run_service("adopting", SegmenterAdopting))
