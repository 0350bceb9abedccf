"""Builders of what the programme topic holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.console.programme_topic import ProgrammeTable
from shared.programme.definitions import (
    Areas,
    Campaign,
    Definition,
    Disclaimer,
    Segment,
    Send,
    Template,
    Variant,
)
from shared.programme.rules import HasTag
from shared.programme.versions import to_wire
from shared.wire.programme import HaltOrder, SendDecision, SendOrder

NOW = datetime(2026, 5, 7, 19, 40, tzinfo=UTC)
CAMPAIGN = Campaign(
    name="forth", organisation="Forth", from_name="Forth", from_address="hello@example.org",
    reply_to="hello@example.org", postal_address="1 High Street",
    disclaimer=Disclaimer(jurisdiction="none", reason="a test"),
)  # fmt: skip


def send(name: str = "ask", **more: Any) -> Send:
    fields: dict[str, Any] = {
        "name": name, "segment": "everybody", "areas": "wards",
        "variants": (Variant(name="a", template="letter"),),
    }  # fmt: skip
    return Send(**(fields | more))


def definitions(*sends: Send) -> list[Definition]:
    """A whole programme around these sends."""
    return [
        CAMPAIGN,
        Areas(name="wards", kind="ward", by_code={"W1": {"name": "Bo'ness"}}, default={}),
        Segment(name="everybody", rule=HasTag(tag="supporter")),
        Template(name="letter", subject="Hello", html="<p>x</p>", text="x"),
        *(sends or (send(),)),
    ]


def table(*sends: Send) -> ProgrammeTable:
    """The programme topic with these sends applied."""
    made = ProgrammeTable()
    for definition in definitions(*sends):
        wire = to_wire(definition, NOW)
        made.newest[wire.kind, wire.name] = wire
        made.versions[wire.kind, wire.name, wire.version] = wire
    return made


def ordered(name: str = "ask", *, due: float | None = -60, **more: Any) -> SendOrder:
    """An order; `due` in seconds from now."""
    fields: dict[str, Any] = {
        "send_id": name, "definition_version": "v", "approved_count": 100, "ordered_by": "mo",
        "due_at": None if due is None else NOW + timedelta(seconds=due),
        "ordered_at": NOW - timedelta(minutes=5),
    }  # fmt: skip
    return SendOrder(**(fields | more))


def decided(state: str, name: str = "ask", **more: Any) -> SendDecision:
    fields: dict[str, Any] = {"send_id": name, "occurrence": 0, "state": state, "decided_at": NOW}
    return SendDecision.model_validate(fields | more)


HALTED = HaltOrder(halted=True, ordered_at=NOW, ordered_by="jo", reason="wrong venue")
