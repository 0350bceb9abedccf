"""`doorstep send launch` and `doorstep send schedule`: a send, its audience, and somebody's yes.

Nothing is ordered before the trial render has passed and the count was approved. What was shown is
what is ordered: if the programme changed while somebody was looking, nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from services.console import orders
from services.console.launching import (
    Counted,
    check_count,
    check_times,
    read_count,
    read_due,
    warnings,
)
from services.console.lint_findings import TRIAL
from services.console.linting import Report, examine, told_at_launch
from services.console.options import JSON, NAME
from services.console.orders import NotPossible, Orderer, Standing, standing_of
from services.console.programme_topic import ProgrammeTable, order, read_table, send_order_record
from services.console.screen import Cell, duration, moment, number, some
from services.console.sending import permitted_rate
from services.console.surroundings import Surroundings, here
from shared.errors import Misconfigured, RetryLater
from shared.log.record import Record
from shared.programme.definitions import Send
from shared.wire.programme import SendOrder

YES = Annotated[bool, typer.Option("--yes", help="Approve whatever the count is.")]
COUNT = Annotated[
    int | None, typer.Option("--count", min=0, help="Approve exactly this many people.")
]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody is asked to approve. `due_at` None: at once. `rate`: messages a second, None
    where nobody knows.
    """

    send: Send
    standing: Standing
    pinned: dict[str, str]
    counted: Counted
    due_at: datetime | None
    zone: ZoneInfo | None
    rate: float | None
    lint: Text


def launch(
    context: typer.Context, name: NAME, yes: YES = False, count: COUNT = None, as_json: JSON = False
) -> None:
    """Freeze the audience of a send now and mail it, after you approved how many it is."""
    around = here(context)
    with around.log() as log:
        table = read_table(log)
        standing = standing_of(table, name, around.now())
        orders.may_launch(standing)
        if standing.state == "held":
            wanted = _approve_held(around, standing, count, yes=yes)
        else:
            proposal = _propose(around, table, standing, None)
            wanted = _approve(around, proposal, count, yes=yes, quiet=as_json)
        order(log, lambda now: _unless_changed(now, standing, wanted))
    _tell(around, wanted, table, as_json=as_json)


def schedule(
    context: typer.Context,
    name: NAME,
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="TIME", help='When, as "2026-05-07 18:30" in the campaign\'s zone.'
        ),
    ],
    yes: YES = False,
    count: COUNT = None,
    as_json: JSON = False,
) -> None:
    """Launch a send at a time to come. Its audience is frozen then; the count guards it."""
    around = here(context)
    with around.log() as log:
        table = read_table(log)
        standing = standing_of(table, name, around.now())
        orders.may_launch(standing)
        if standing.state == "held":
            raise NotPossible(
                f"{name} is held with a frozen audience: it can only go now, with "
                f"`doorstep send launch {name}`, or be cancelled"
            )
        campaign = table.campaign
        due_at = read_due(at, campaign.timezone if campaign else None, around.now())
        proposal = _propose(around, table, standing, due_at)
        wanted = _approve(around, proposal, count, yes=yes, quiet=as_json)
        order(log, lambda now: _unless_changed(now, standing, wanted))
    _tell(around, wanted, table, as_json=as_json)


def _propose(
    around: Surroundings, table: ProgrammeTable, standing: Standing, due_at: datetime | None
) -> Proposal:
    """Everything that can be known before a yes. Raises what makes it impossible."""
    send = table.applied_send(standing.name)
    if send is None:
        raise NotPossible(
            f"{standing.name} has been removed from the programme: apply it again to launch it"
        )
    now = around.now()
    check_times(send, due_at or now, now, around.settings.sender)
    pinned = orders.pins(table, send)
    segment = table.segment(send.segment)
    rule = segment.rule.model_dump(mode="json") if segment else {}
    question = {"rule": rule, "topic": send.topic, "send": send.name}
    counted = Counted.of(around.services.post("segmenter", "/ask/count", question, whole=True))
    if not counted.mailable and send.mode == "once":
        inside = number(counted.matching) if counted.matching else "nobody"
        raise NotPossible(
            f"{send.name}: nobody would get it ({inside} "
            f"{'are' if counted.matching > 1 else 'is'} in segment {send.segment}"
            f"{', none of them may be mailed' if counted.matching else ''}): "
            f"see why with `doorstep segment count {send.segment}`"
        )
    report = examine(around.services, table, send, only_gaps=True)
    _refuse_what_stops(report)
    rate = permitted_rate(around)
    told = told_at_launch(report)
    return Proposal(send, standing, pinned, counted, due_at, table.zone, rate, told)


def _refuse_what_stops(report: Report) -> None:
    """Raises NotPossible for faults of the trial render, and for what lint says stops a send."""
    stops, name = report.of("stops"), report.send.name
    faults = [each for each in stops if each.where == TRIAL]
    if faults:
        listed = "\n".join(f"  {fault.what}" for fault in faults)
        raise NotPossible(
            f"{name}: the trial render found {some(len(faults), 'fault')}; nothing was "
            f"launched. Mend the template, apply, and launch again\n{listed}"
        )
    if stops:
        listed = "\n".join(f"  {each.where}: {each.what}\n      {each.hint}" for each in stops)
        raise NotPossible(
            f"{name}: lint found {some(len(stops), 'reason')} not to launch it, and nothing was "
            f"launched. See `doorstep send lint {name}`\n{listed}"
        )


def _approve(
    around: Surroundings, proposal: Proposal, count: int | None, *, yes: bool, quiet: bool
) -> SendOrder:
    """The order, once somebody said yes."""
    send, counted = proposal.send, proposal.counted
    due_at = proposal.due_at or around.now()
    if not quiet:
        around.screen.out.print(_summary(around, proposal))
    told = warnings(send, counted, due_at, around.now(), around.settings.sender, proposal.rate)
    for warning in told:
        around.screen.warn(warning)
    going_on = send.mode == "newly_qualifies"
    if count is not None:
        check_count(count, counted.mailable)
    elif not yes:
        verb = "launch it" if proposal.due_at is None else "schedule it"
        if going_on:
            _confirm(around, f"Nobody gets it now. Type yes to {verb}: ", "yes", "--yes")
        else:
            _type_count(around, counted.mailable, verb)
    by = Orderer(around.person, around.now())
    due_at = proposal.due_at or by.at
    check_times(send, due_at, by.at, around.settings.sender)
    approved = None if going_on else counted.mailable
    return orders.launched(send.name, proposal.pinned, due_at, approved, by)


def _approve_held(
    around: Surroundings, standing: Standing, count: int | None, *, yes: bool
) -> SendOrder:
    decision = standing.decision
    frozen = decision.frozen if decision else 0
    around.screen.note(f"{standing.name} is held: {decision.reason if decision else ''}")
    if count is not None:
        check_count(count, frozen)
    elif not yes:
        _type_count(around, frozen, "let it go")
    return orders.approved(standing, frozen, Orderer(around.person, around.now()))


def _type_count(around: Surroundings, wanted: int, verb: str) -> None:
    hint = f"--count {wanted}, or --yes"
    answer = _ask(around, f"Type {number(wanted)} to {verb}: ", hint)
    if read_count(answer) != wanted:
        raise Misconfigured(f'nothing was ordered: "{answer}" is not {number(wanted)}')


def _confirm(around: Surroundings, question: str, wanted: str, hint: str) -> None:
    if _ask(around, question, hint).casefold() != wanted:
        raise Misconfigured("nothing was ordered")


def _ask(around: Surroundings, question: str, hint: str) -> str:
    if not around.screen.interactive:
        raise Misconfigured(f"nobody is here to be asked: approve it with {hint}")
    return around.screen.ask(question)


def _unless_changed(now: ProgrammeTable, seen: Standing, wanted: SendOrder) -> Iterable[Record]:
    """The record; none, with an error, when somebody else ordered or applied in between."""
    if now.orders.get(seen.name) != seen.order or now.decisions.get(seen.name) != seen.decision:
        raise RetryLater(
            f"somebody else gave an order about {seen.name} while you were looking: "
            f"see `doorstep send status {seen.name}`, then repeat yours"
        )
    if now.halted:
        raise NotPossible("everything was halted while you were looking: nothing was ordered")
    stale = [
        each
        for each, version in wanted.pinned.items()
        if seen.state != "held" and version != _newest(now, each)
    ]
    if stale:
        raise RetryLater(
            f"{', '.join(stale)} changed while you were looking: launch again to see the new count"
        )
    return [send_order_record(wanted)]


def _newest(table: ProgrammeTable, pin: str) -> str | None:
    kind, _, name = pin.partition("/")
    known = table.newest.get((kind, name))
    return known.version if known else None


def _summary(around: Surroundings, proposal: Proposal) -> Table:
    """What is about to be approved."""
    send, counted = proposal.send, proposal.counted
    left_out = ", ".join(f"{number(n)} {why.replace('_', ' ')}" for why, n in _by_size(counted))
    to = Text.assemble((number(counted.mailable), "bold"), f" of segment {send.segment}")
    if left_out:
        to.append(f" ({number(counted.matching)} match; left out: {left_out})", "dim")
    if send.mode == "newly_qualifies":
        to = Text(f"whoever enters segment {send.segment} from now on ({counted.mailable:,} now)")
    rows: list[tuple[str, Cell]] = [("Send", Text(send.name, "bold")), ("To", to)]
    rows += [("Variants", _variants(send))]
    if send.areas:
        rows.append(("Areas", f"one edition for each area of {send.areas}"))
    if send.unless_done:
        rows.append(("Unless", f"they have {' or '.join(send.unless_done)}, up to the last look"))
    if proposal.due_at:
        rows.append(("Due", _when(proposal.due_at, around.now(), proposal.zone)))
    if send.deadline:
        rows.append(("Deadline", _when(send.deadline, around.now(), proposal.zone)))
    if send.until:
        rows.append(("Until", _when(send.until, around.now(), proposal.zone)))
    if send.mode == "once" and proposal.rate is not None:
        seconds = max(1.0, counted.mailable / proposal.rate)
        rows.append(("Takes", f"{duration(seconds)} at {proposal.rate:g} a second"))
    rows.append(("Trial", Text("every variant and edition renders", "green")))
    rows.append(("Lint", proposal.lint))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for word, cell in rows:
        grid.add_row(word, cell if isinstance(cell, Text) else Text(str(cell)))
    return grid


def _variants(send: Send) -> str:
    if len(send.variants) == 1:
        return f"{send.variants[0].name} alone"
    whole = sum(variant.weight for variant in send.variants)
    return ", ".join(f"{v.name} {100 * v.weight / whole:.0f}%" for v in send.variants)


def _by_size(counted: Counted) -> list[tuple[str, int]]:
    return sorted(counted.left_out.items(), key=lambda each: -each[1])


def _when(at: datetime, now: datetime, zone: ZoneInfo | None) -> str:
    return f"{moment(at, zone)} (in {duration((at - now).total_seconds())})"


def _tell(around: Surroundings, wanted: SendOrder, table: ProgrammeTable, *, as_json: bool) -> None:
    if as_json:
        around.screen.json(wanted)
        return
    name, send = wanted.send_id, table.applied_send(wanted.send_id)
    if wanted.due_at is not None and wanted.due_at > wanted.ordered_at:
        around.screen.say(
            ("✓ ", "green"), (name, "bold"),
            f" is scheduled for {moment(wanted.due_at, table.zone)}. "
            f"Until then: `doorstep send cancel {name}`",
        )  # fmt: skip
    elif send is not None and send.mode == "newly_qualifies":
        around.screen.say(
            ("✓ ", "green"), (name, "bold"),
            f" is open: whoever enters segment {send.segment} from now on gets it, once",
        )  # fmt: skip
    else:
        around.screen.say(
            ("✓ ", "green"), (name, "bold"), " is on its way. "
            f"Follow it with `doorstep send status {name} --watch`",
        )  # fmt: skip
