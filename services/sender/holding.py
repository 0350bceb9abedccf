"""Holding a send until a person resumes it: written into the ledger, told on `control`, counted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from services.sender.breakers import Trip
from services.sender.ledger import Ledger
from shared.clock import to_ms
from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import CONTROL
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.store.port import Unit
from shared.wire.cloudevents import encode
from shared.wire.control import SendHeld


class Holding:
    """Holds sends. Used by several threads, each inside its own unit."""

    def __init__(self, partitions: int, metrics: Metrics) -> None:
        """`partitions`: P, of the log."""
        self._partitions, self._metrics = partitions, metrics
        self._journal = Journal("sender.holding")
        for why in ("bounces", "complaints", "failures", "refused"):
            metrics.sends_held.labels(why)  # begins at nought: the first is then an increase

    def hold(
        self,
        unit: Unit,
        own: int,
        trips: Mapping[str, Trip],
        resumed_ms: Mapping[str, int],
        now: datetime,
    ) -> None:
        """Hold these sends, but those that are held already; inside the caller's unit.

        `own`: a partition this sender owns, whose outbox tells of it. `resumed_ms`: when each was
        last ordered to go on. Of two senders that hold one at the same time both tell, under one
        id.
        """
        if not trips:
            return
        ledger = Ledger(unit.connection)
        held = ledger.holds()
        for send_id, trip in sorted(trips.items()):
            since_ms = resumed_ms.get(send_id, 0)
            if held.get(send_id, -1) >= since_ms:
                continue
            ledger.hold({send_id: trip.reason}, to_ms(now))
            unit.emit(own, self._record(send_id, trip, since_ms, now))
            self._metrics.sends_held.labels(trip.why).inc()
            self._journal.error("sender.hold_send", send=send_id, why=trip.why, reason=trip.reason)

    def _record(self, send_id: str, trip: Trip, since_ms: int, now: datetime) -> Record:
        return encode(
            SendHeld(send_id=send_id, why=trip.why, reason=trip.reason, at=now),
            id=event_id("held", send_id, trip.why, str(since_ms)),
            source="sender",
            subject=send_id,
            time=now,
            topic=CONTROL,
            partition=partition_of(send_id, self._partitions),
            key=send_id,
        )
