"""The last look: may this message still go? A pure decision, made directly before the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from shared.programme.providers import Providers
from shared.programme.warm_ups import WarmUps
from shared.wire.suppressions import FOR_NOW

ERASED: Final = "erased"
"""The reason of a suppression after which a person is forgotten."""

Refusal = Literal["suppressed", "excluded", "cancelled", "expired"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ledger row on its way out. `to_address` is empty when its person was erased meanwhile."""

    entry_no: int
    message_id: str
    send_id: str
    occurrence: int
    partition: int
    supporter_id: str
    address_key: str
    variant: str
    edition: str
    topic: str
    deadline_ms: int | None
    sender: str
    to_address: str
    batch_id: str
    entry: int
    attempt: int


@dataclass(frozen=True, slots=True)
class SettleOrder:
    """What an operator wants done with what was in doubt when the order was given."""

    decision: Literal["leave", "resend"]
    ordered_ms: int


@dataclass(slots=True)
class Orders:
    """What people have ordered, as far as the sender knows it.

    `retry`: send to when it was ordered, in milliseconds. `seeds`: normalised addresses that tests
    may go to.
    """

    halted: bool = False
    paused: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    settle: dict[str, SettleOrder] = field(default_factory=dict)
    retry: dict[str, int] = field(default_factory=dict)
    configuration_set: str = "doorstep"
    warm_ups: WarmUps = field(default_factory=WarmUps)
    providers: Providers = field(default_factory=Providers)
    seeds: frozenset[str] = frozenset()


Suppressions = Mapping[str, Mapping[str, str]]
"""Subject (address key or supporter id) to scope to reason."""


def look(
    candidate: Candidate,
    suppressions: Suppressions,
    orders: Orders,
    now_ms: int,
    margin_ms: int,
) -> tuple[Refusal, str] | None:
    """None: it may go. Otherwise the final state it ends in, and why.

    The effective deadline is the deadline less `margin_ms` (read timeout, skew bound, margin).
    """
    if candidate.send_id in orders.cancelled:
        return "cancelled", "the send was cancelled"
    if candidate.deadline_ms is not None and now_ms >= candidate.deadline_ms - margin_ms:
        return "expired", "its deadline came first"
    if not candidate.to_address:
        return "suppressed", ERASED
    scopes = ("everything", FOR_NOW, f"topic:{candidate.topic}", f"send:{candidate.send_id}")
    for subject in (candidate.supporter_id, candidate.address_key):
        known = suppressions.get(subject)
        if not known:
            continue
        for scope in scopes:
            reason = known.get(scope)
            if reason == "excluded":
                return "excluded", "no longer belongs to the audience"
            if reason is not None:
                return "suppressed", reason
    return None
