"""Orders about sends: what each command makes of the newest order, or why it may not. Pure.

An order states the whole wanted state, so each is a changed copy of the one before. A refusal says
what stands in the way and what to do instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.console.programme_topic import ProgrammeTable
from services.console.send_states import OVER, UNDER_WAY, State, state_of
from shared.errors import Misconfigured
from shared.programme.definitions import Send
from shared.programme.problems import no_such
from shared.wire.programme import HaltOrder, SendDecision, SendOrder


class NotPossible(Misconfigured):
    """An order that makes no sense as things stand."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A send as the programme topic shows it now."""

    name: str
    state: State
    order: SendOrder | None
    decision: SendDecision | None
    halt: HaltOrder | None

    @property
    def halted(self) -> bool:
        return self.halt is not None and self.halt.halted


@dataclass(frozen=True, slots=True)
class Orderer:
    """Who orders, and when."""

    name: str
    at: datetime


def standing_of(table: ProgrammeTable, name: str, now: datetime) -> Standing:
    """How the send stands. Raises NotPossible when there is none of that name."""
    order, decision = table.orders.get(name), table.decisions.get(name)
    if order is None and ("send", name) not in table.newest:
        message, hint = no_such("send", name, table.names("send"))
        near = hint.startswith("did you mean")
        more = "" if near else "; programmes are applied with `doorstep apply DIR`"
        raise NotPossible(f"{message}: {hint}{more}")
    return Standing(name, state_of(order, decision, now), order, decision, table.halt)


def paused(standing: Standing, by: Orderer) -> SendOrder | None:
    """The order that pauses the send; None when it is paused already."""
    order = _order_of(standing, "pause")
    return None if order.paused else _copy(order, by, paused=True)


def resumed(standing: Standing, by: Orderer) -> SendOrder:
    """The order that lets the send go on, also where the sender itself held it back."""
    if standing.halted:
        raise NotPossible(
            f"everything is halted: lift that first with `doorstep halt --lift`, "
            f"then `doorstep send resume {standing.name}`"
        )
    return _copy(_order_of(standing, "resume"), by, paused=False)


def cancelled(standing: Standing, by: Orderer) -> SendOrder:
    """The order that ends the send for good."""
    return _copy(_order_of(standing, "cancel"), by, cancelled=True)


def settled(standing: Standing, how: Literal["leave", "resend"], by: Orderer) -> SendOrder:
    """The order that decides over what is in doubt; also of a send that is over."""
    if standing.order is None:
        raise NotPossible(f"{standing.name} has not been launched: nothing of it can be in doubt")
    return _copy(standing.order, by, settle=how)


def retried(standing: Standing, by: Orderer) -> SendOrder:
    """The order that sends again what SES refused; also of a send that is finished."""
    if standing.order is None:
        raise NotPossible(f"{standing.name} has not been launched: nothing of it can have failed")
    if standing.halted:
        raise NotPossible("everything is halted: lift that first with `doorstep halt --lift`")
    if standing.order.cancelled:
        raise NotPossible(f"{standing.name} is cancelled: nothing more of it goes out")
    return _copy(standing.order, by, retry=True, paused=False)


def approved(standing: Standing, count: int, by: Orderer) -> SendOrder:
    """The order that lets a held send go, with the size of the frozen audience approved."""
    return _copy(_order_of(standing, "approve"), by, approved_count=count)


def launched(
    name: str,
    pinned: dict[str, str],
    due_at: datetime,
    approved_count: int | None,
    by: Orderer,
    *,
    paused: bool = False,
) -> SendOrder:
    """The first order of a send, or one that takes the place of a schedule."""
    return SendOrder(
        send_id=name,
        definition_version=pinned[f"send/{name}"],
        pinned=pinned,
        due_at=due_at,
        approved_count=approved_count,
        paused=paused,
        ordered_at=by.at,
        ordered_by=by.name,
    )


def may_launch(standing: Standing) -> None:
    """Raises NotPossible when the send has been launched, is over, or everything is halted."""
    name = standing.name
    if standing.halted:
        raise NotPossible(
            "everything is halted: lift that first with `doorstep halt --lift`, then launch again"
        )
    if standing.state in OVER or standing.state == "cancelling":
        raise NotPossible(
            f"{name} is {standing.state}, and a send goes out once: "
            "copy its file under a new name, apply, and launch that one"
        )
    if standing.state in ("freezing", "sending"):
        raise NotPossible(
            f"{name} is under way already ({standing.state}): "
            f"see how far it is with `doorstep send status {name}`"
        )
    if standing.state == "paused":
        raise NotPossible(
            f"{name} is launched and paused: let it go on with `doorstep send resume {name}`"
        )


def pins(table: ProgrammeTable, send: Send) -> dict[str, str]:
    """Kind and name (`send/ask`) to newest version, for all that the send is made of.

    Raises NotPossible when a part has been removed since the send was applied.
    """
    wanted = [("send", send.name), ("segment", send.segment)]
    wanted += [("template", name) for name in dict.fromkeys(v.template for v in send.variants)]
    wanted += [("areas", send.areas)] if send.areas else []
    wanted += [("campaign", name) for name in table.names("campaign")]
    missing = [f"{kind} {name}" for kind, name in wanted if (kind, name) not in table.newest]
    if not table.names("campaign"):
        missing.append("the campaign")
    if missing:
        raise NotPossible(
            f"{send.name} is made of what is not there any more: {', '.join(missing)}; "
            "apply the programme again with `doorstep apply DIR`"
        )
    return {f"{kind}/{name}": table.newest[kind, name].version for kind, name in wanted}


def halted(by: Orderer, reason: str) -> HaltOrder:
    """Stop everything."""
    return HaltOrder(halted=True, ordered_at=by.at, ordered_by=by.name, reason=reason)


def lifted(table: ProgrammeTable, by: Orderer) -> tuple[list[SendOrder], HaltOrder]:
    """First a pause for every send that would go on by itself, then the end of the halt."""
    pauses = [_copy(each, by, paused=True) for each in under_way(table, by.at)]
    return pauses, HaltOrder(halted=False, ordered_at=by.at, ordered_by=by.name)


def under_way(table: ProgrammeTable, now: datetime) -> Iterable[SendOrder]:
    """Orders of sends that go on without anybody doing anything more, by name."""
    for name, order in sorted(table.orders.items()):
        state = state_of(order, table.decisions.get(name), now)
        if state in UNDER_WAY:
            yield order


def _order_of(standing: Standing, verb: str) -> SendOrder:
    if standing.order is None:
        raise NotPossible(
            f"{standing.name} has not been launched or scheduled: there is nothing to {verb}"
        )
    if standing.state in OVER or standing.state == "cancelling":
        raise NotPossible(f"{standing.name} is {standing.state}: there is nothing to {verb}")
    return standing.order


def _copy(order: SendOrder, by: Orderer, **changes: object) -> SendOrder:
    """The order with changes. To settle or retry is for once: no other order carries it on."""
    update = {"settle": None, "retry": False, **changes, "ordered_at": by.at, "ordered_by": by.name}
    return order.model_copy(update=update)
