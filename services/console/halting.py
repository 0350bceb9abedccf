"""`doorstep halt`: stop everything within seconds, and lift that again.

Lifting releases nothing by itself: whatever would go on is paused in the same moment, and each send
is resumed or cancelled by somebody who has looked at it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from services.console import orders
from services.console.options import JSON
from services.console.orders import NotPossible, Orderer
from services.console.programme_topic import (
    ProgrammeTable,
    halt_record,
    order,
    send_order_record,
)
from services.console.screen import Screen, moment, some
from services.console.surroundings import here
from shared.errors import Misconfigured
from shared.log.record import Record


def halt(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why; others will read it.")] = "",
    lift: Annotated[
        bool, typer.Option("--lift", help="End the halt; sends under way stay paused.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Stop every send within seconds, or lift that."""
    if lift and reason:
        raise Misconfigured("--reason belongs to a halt; say it without --lift")
    around = here(context)
    paused: list[str] = []
    before: list[ProgrammeTable] = []

    def decide(programme: ProgrammeTable) -> list[Record]:
        before.append(programme)
        by = Orderer(around.person, around.now())
        if not lift:
            return [] if programme.halted else [halt_record(orders.halted(by, reason))]
        if not programme.halted:
            raise NotPossible("nothing is halted: there is nothing to lift")
        pauses, lifted = orders.lifted(programme, by)
        paused.extend(each.send_id for each in pauses)
        return [*(send_order_record(each) for each in pauses), halt_record(lifted)]

    with around.log() as log:
        written = order(log, decide)
    known = before[0].halt
    if as_json:
        around.screen.json({"halted": not lift, "changed": bool(written), "paused": paused})
    elif lift:
        _tell_lifted(around.screen, paused)
    elif not written and known is not None:
        around.screen.say(
            f"Everything is halted already, by {known.ordered_by} at "
            f"{moment(known.ordered_at, before[0].zone)}"
            + (f": {known.reason}" if known.reason else "")
        )
    else:
        around.screen.say(
            ("■ ", "bold red"),
            "Everything is halted: no service starts another mail. "
            "Lift it with `doorstep halt --lift`",
        )


def _tell_lifted(screen: Screen, paused: list[str]) -> None:
    screen.say(("✓ ", "green"), "The halt is lifted.")
    if not paused:
        screen.say("  Nothing was under way.")
        return
    screen.say(
        f"  {some(len(paused), 'send was', 'sends were')} under way, now paused. For each, one of:"
    )
    for name in paused:
        screen.say(f"    doorstep send resume {name}    doorstep send cancel {name}")
