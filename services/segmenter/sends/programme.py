"""The segmenter's view of the programme table: definitions, orders, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.errors import NeverRetry
from shared.log.record import Stored
from shared.observability.logs import Journal
from shared.programme.definitions import Areas, Segment, Send
from shared.programme.warm_ups import WarmUps
from shared.wire.cloudevents import decode
from shared.wire.programme import (
    HALT_KEY,
    SEND_ORDER_KEY,
    Definition,
    HaltOrder,
    SendDecision,
    SendOrder,
)

LATELY: Final = 20
"""So many sends back somebody's answer is of interest."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A send with everything it was approved with."""

    order: SendOrder
    send: Send
    segment: Segment
    areas: Areas | None
    pixel_needs_consent: bool = True


def _warms_up(definition: Definition, now: datetime) -> bool:
    try:
        warm_ups = WarmUps.of_campaign(definition.body)
    except ValueError:
        return False  # it is only about an order
    return bool(warm_ups.limits(warm_ups.day(now)))


class ProgrammeView:
    """Folds records of the programme topic. `changed` counts definitions that came in."""

    def __init__(self) -> None:
        self.orders: dict[str, SendOrder] = {}
        self.decisions: dict[tuple[str, int], SendDecision] = {}
        self.halted = False
        self.segment_changes = 0
        self.unreadable: list[tuple[Stored, NeverRetry]] = []
        self._plans: dict[str, Planned | None] = {}
        self._definitions: dict[tuple[str, str], Definition] = {}
        self._versions: dict[tuple[str, str, str], Definition] = {}
        self._journal = Journal("segmenter.programme")

    def apply(self, stored: Stored) -> None:
        """One record; what cannot be read is said and kept in `unreadable`.

        An order that cannot be read may have said stop: so it does, until one can be read.
        """
        self._plans.clear()
        if stored.value is None:
            self._removed((stored.key or b"").decode("utf-8", "replace"))
            return
        try:
            data = decode(stored).data
        except NeverRetry as error:
            self._journal.error("segmenter.programme_unreadable", reason=str(error))
            self.unreadable.append((stored, error))
            self._stop_unread((stored.key or b"").decode("utf-8", "replace"))
            return
        match data:
            case Definition():
                self._define(data, newest=b"@" not in (stored.key or b""))
            case SendOrder():
                self.orders[data.send_id] = data
            case HaltOrder():
                self.halted = data.halted
            case SendDecision():
                self.decisions[data.send_id, data.occurrence] = data
            case _:
                pass

    def _stop_unread(self, key: str) -> None:
        if key == HALT_KEY:
            self.halted = True
        known = self.orders.get(key.removeprefix(SEND_ORDER_KEY))
        if key.startswith(SEND_ORDER_KEY) and known is not None:
            self.orders[known.send_id] = known.model_copy(update={"paused": True})

    def segments(self) -> list[Segment]:
        """All segments, newest versions, by name."""
        return [
            Segment.model_validate(definition.body)
            for (kind, _), definition in sorted(self._definitions.items())
            if kind == "segment"
        ]

    def warming(self, now: datetime) -> bool:
        """Whether a campaign warms up a sending domain today, or will."""
        return any(
            _warms_up(definition, now)
            for (kind, _), definition in self._definitions.items()
            if kind == "campaign"
        )

    def lately(self) -> list[str]:
        """The sends that were released last."""
        released = [
            (decision.decided_at, send_id)
            for (send_id, _), decision in self.decisions.items()
            if decision.state in ("released", "finished")
        ]
        return [send_id for _, send_id in sorted(released, reverse=True)[:LATELY]]

    def planned(self, send_id: str) -> Planned | None:
        """The send as it was ordered, None while a definition has not arrived yet."""
        if send_id not in self._plans:
            order = self.orders.get(send_id)
            self._plans[send_id] = None if order is None else self._planned(order)
        return self._plans[send_id]

    def _planned(self, order: SendOrder) -> Planned | None:
        send_body = self._body(order, "send", order.send_id)
        if send_body is None:
            return None
        send = Send.model_validate(send_body)
        segment = self._body(order, "segment", send.segment)
        areas = self._body(order, "areas", send.areas) if send.areas else {}
        if segment is None or areas is None:
            return None
        return Planned(
            order,
            send,
            Segment.model_validate(segment),
            Areas.model_validate(areas) if areas else None,
            self._pixel_needs_consent(order),
        )

    def _pixel_needs_consent(self, order: SendOrder) -> bool:
        """In the United Kingdom (PECR, regulation 6); in the United States not. Who says none of
        the two is held to the stricter one.
        """
        key = next((k for k in order.pinned if k.startswith("campaign/")), "campaign/")
        body = self._body(order, "campaign", key.removeprefix("campaign/")) or {}
        disclaimer = body.get("disclaimer")
        return not (isinstance(disclaimer, dict) and disclaimer.get("jurisdiction") == "us")

    def draft(self, send_id: str) -> Planned | None:
        """A send that nobody has ordered yet, with the newest of everything it names."""
        known = self._definitions.get(("send", send_id))
        if known is None:
            return None
        order = SendOrder(
            send_id=send_id, definition_version=known.version, ordered_at=known.applied_at
        )
        return self._planned(order)

    def _body(self, order: SendOrder, kind: str, name: str) -> dict[str, object] | None:
        version = order.pinned.get(f"{kind}/{name}")
        known = (
            self._definitions.get((kind, name))
            if version is None
            else self._versions.get((kind, name, version))
        )
        return None if known is None else known.body

    def _define(self, definition: Definition, *, newest: bool) -> None:
        self._versions[definition.kind, definition.name, definition.version] = definition
        if newest:
            self._definitions[definition.kind, definition.name] = definition
            self.segment_changes += definition.kind == "segment"

    def _removed(self, key: str) -> None:
        parts = key.split("/", 2)
        if len(parts) == 3 and parts[0] == "definition" and "@" not in parts[2]:
            self._definitions.pop((parts[1], parts[2]), None)
            self.segment_changes += parts[1] == "segment"
