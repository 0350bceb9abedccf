"""Decisions over a whole send, made by the owner of its key from all partitions' reports. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from services.segmenter.sends.programme import Planned
from shared.wire.control import FreezeReported, ProgressReported
from shared.wire.programme import SendDecision, SendOrder

MOVED_SHARE = 0.2
MOVED_LEAST = 50


def decide_launch(
    order: SendOrder,
    occurrence: int,
    reports: Mapping[int, FreezeReported],
    partitions: int,
    now: datetime,
) -> SendDecision | None:
    """When every partition has frozen: release, hold (the size moved since approval), or empty.

    None while reports are missing. Held when the audience differs from the approved count by more
    than 20 % and more than 50 people.
    """
    if len(reports) < partitions:
        return None
    frozen = sum(report.frozen for report in reports.values())
    by_variant: Counter[str] = Counter()
    for report in reports.values():
        by_variant.update(report.by_variant)
    state: Literal["released", "held", "empty"] = "released"
    reason = ""
    if not frozen:
        state, reason = "empty", "nobody is in the audience"
    elif order.approved_count is not None:
        moved = abs(frozen - order.approved_count)
        if moved > MOVED_LEAST and moved > MOVED_SHARE * max(1, order.approved_count):
            state = "held"
            reason = (
                f"the audience is {frozen} now, {order.approved_count} were approved: look again "
                f"and approve the new size with `doorstep send launch {order.send_id}`"
            )
    return SendDecision(
        send_id=order.send_id,
        occurrence=occurrence,
        state=state,
        frozen=frozen,
        by_variant=dict(by_variant),
        reason=reason,
        decided_at=now,
    )


def approve_held(decision: SendDecision, order: SendOrder, now: datetime) -> SendDecision | None:
    """A held send whose frozen size has been approved since is released."""
    if decision.state != "held" or order.ordered_at <= decision.decided_at:
        return None
    approved = order.approved_count
    if approved is not None and approved != decision.frozen:
        moved = abs(decision.frozen - approved)
        if moved > MOVED_LEAST and moved > MOVED_SHARE * max(1, approved):
            return None
    return decision.model_copy(update={"state": "released", "reason": "", "decided_at": now})


def decide_finish(
    decision: SendDecision,
    reports: Mapping[int, ProgressReported],
    partitions: int,
    now: datetime,
    *,
    since: datetime,
    cancelled: bool,
) -> SendDecision | None:
    """Finished (or cancelled) when every partition has reported and nothing is open.

    `since`: when the audience could not grow any more; only reports from after that count.
    """
    under_way = decision.state == "released" or (decision.state == "held" and cancelled)
    if not under_way or len(reports) < partitions:
        return None
    if any(report.at < since for report in reports.values()):
        return None
    frozen = sum(report.frozen for report in reports.values())
    final = sum(sum(report.finals.values()) for report in reports.values())
    if final < frozen or frozen < decision.frozen:
        return None
    return decision.model_copy(
        update={
            "state": "cancelled" if cancelled else "finished",
            "frozen": frozen,
            "reason": "",
            "decided_at": now,
        }
    )


def closed_at(planned: Planned, now: datetime) -> datetime | None:
    """Since when nobody more can come into the audience; None while somebody still may."""
    send, order = planned.send, planned.order
    if order.cancelled:
        return order.ordered_at
    if send.mode == "once":
        return order.due_at
    return send.until if send.until is not None and send.until <= now else None
