"""What the owner of a send's key decides for all partitions, said once.

A decision is noted in the store with the outbox row that says it. Whoever owns the key next, and
has not read it on the programme yet, finds the note and waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from services.segmenter.sends.decisions import (
    approve_held,
    closed_at,
    decide_finish,
    decide_launch,
)
from services.segmenter.sends.programme import Planned, ProgrammeView
from services.segmenter.sends.reports import Reports
from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import PROGRAMME
from shared.observability.fail_points import FailPoints
from shared.store.port import Store, Unit
from shared.wire.cloudevents import encode
from shared.wire.control import FreezeReported
from shared.wire.programme import SendDecision


class Deciding:
    """Over one store. `partitions` is P."""

    def __init__(
        self,
        store: Store[Unit],
        programme: ProgrammeView,
        partitions: int,
        fail_points: FailPoints,
    ) -> None:
        self._store, self._programme, self._partitions = store, programme, partitions
        self._fail_points = fail_points

    def decide(self, owned: Iterable[int], now: datetime) -> None:
        """For sends whose key is in an owned partition."""
        homes = set(owned)
        for send_id in list(self._programme.orders):
            home = partition_of(send_id, self._partitions)
            planned = self._programme.planned(send_id) if home in homes else None
            decision = None if planned is None else self._decision(planned, now)
            if decision is None:
                continue
            with self._store.unit() as unit:
                unit.emit(home, _record(decision))
                Reports(unit.connection).note_decision(decision, home)
            self._fail_points.reach("segmenter.decide.after_commit")

    def _decision(self, planned: Planned, now: datetime) -> SendDecision | None:
        """What is to be decided about a send now, if anything."""
        name, due_at = planned.send.name, planned.order.due_at
        if due_at is None or due_at > now:
            return None
        made = self._programme.decisions.get((name, 0))
        if made is not None and made.state not in {"released", "held"}:
            return None
        noted = Reports(self._store.connection).decided(name, 0)
        if noted is not None and (made is None or made.state != noted):
            return None
        return self._first(planned, now) if made is None else self._next(planned, made, now)

    def _first(self, planned: Planned, now: datetime) -> SendDecision | None:
        order, send = planned.order, planned.send
        freezes = Reports(self._store.connection).freezes(send.name, 0)
        if order.cancelled:
            return _cancelled(send.name, freezes, self._partitions, now)
        if send.mode == "newly_qualifies":
            begun = len(freezes) == self._partitions
            return _plain(send.name, "released", "", now) if begun else None
        return decide_launch(order, 0, freezes, self._partitions, now)

    def _next(self, planned: Planned, made: SendDecision, now: datetime) -> SendDecision | None:
        order, send = planned.order, planned.send
        held = approve_held(made, order, now)
        if held is not None:
            return held
        since = closed_at(planned, now)
        if since is None:
            return None
        progress = Reports(self._store.connection).progress(send.name, 0)
        return decide_finish(
            made, progress, self._partitions, now, since=since, cancelled=order.cancelled
        )


def _cancelled(
    send_id: str, freezes: Mapping[int, FreezeReported], partitions: int, now: datetime
) -> SendDecision | None:
    """Cancelled before it was released; held until the people of parts frozen by then are closed.

    Parts that see the order before they freeze begin empty, so that every partition reports.
    """
    if len(freezes) < partitions:
        return None
    frozen = sum(report.frozen for report in freezes.values())
    if not frozen:
        return _plain(send_id, "cancelled", "cancelled before it was due", now)
    held = _plain(send_id, "held", "cancelled while it was being frozen", now)
    return held.model_copy(update={"frozen": frozen})


def _plain(send_id: str, state: str, reason: str, now: datetime) -> SendDecision:
    return SendDecision.model_validate(
        {"send_id": send_id, "occurrence": 0, "state": state, "reason": reason, "decided_at": now}
    )


def _record(decision: SendDecision) -> Record:
    key = f"decision/send/{decision.send_id}/{decision.occurrence}"
    return encode(
        decision,
        id=event_id("decision", key, decision.state, decision.decided_at.isoformat()),
        source="segmenter",
        subject=decision.send_id,
        time=decision.decided_at,
        topic=PROGRAMME,
        partition=0,
        key=key,
    )
