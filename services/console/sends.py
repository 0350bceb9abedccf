"""`doorstep send ...`: how sends stand, and the orders about them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import typer
from rich.console import Group
from rich.live import Live

from services.console import approving, linting, orders, previewing
from services.console.asking import NotRunning
from services.console.books import read_books
from services.console.forecast import show_forecast
from services.console.options import JSON, NAME, YES
from services.console.orders import NotPossible, Orderer, Standing, standing_of
from services.console.programme_topic import (
    ProgrammeTable,
    followed_table,
    order,
    read_table,
    send_order_record,
)
from services.console.screen import Column, some
from services.console.send_screen import (
    Hindrances,
    audience,
    body,
    goes_on,
    head,
    listed_row,
    send_data,
)
from services.console.send_states import MEANING, OVER
from services.console.surroundings import Surroundings, here
from shared.errors import Misconfigured
from shared.log.record import Record
from shared.programme.problems import no_such
from shared.wire.programme import SendOrder

WATCH_SECONDS: Final = 1.0

app = typer.Typer(help="Launch sends, and see what became of them.", no_args_is_help=True)


@app.command("list")
def list_sends(
    context: typer.Context,
    state: Annotated[str | None, typer.Option("--state", help="Only sends in this state.")] = None,
    as_json: JSON = False,
) -> None:
    """All sends with where they stand."""
    around = here(context)
    if state is not None and state not in MEANING:
        raise Misconfigured("--state: " + ": ".join(no_such("state", state, MEANING)))
    with around.log() as log:
        programme = read_table(log)
    now = around.now()
    names = sorted({*programme.names("send"), *programme.orders})
    listed = [standing_of(programme, name, now) for name in names]
    listed = [each for each in listed if state is None or each.state == state]
    sizes = _audiences(around, programme, listed)
    if as_json:
        around.screen.json(
            [send_data(programme, each) | {"audience": sizes[each.name]} for each in listed]
        )
        return
    if not listed:
        around.screen.say(
            "There are no sends here yet: apply a programme with `doorstep apply DIR`"
        )
        return
    zone = programme.zone
    columns = [
        Column("send", wrap=False),
        Column("state", wrap=False),
        Column("segment", wrap=False, from_width=110),
        Column("due", wrap=False),
        Column("deadline", wrap=False),
        Column("audience", number=True),
        Column("ordered by", wrap=False, from_width=100),
    ]
    around.screen.table(columns, [
        listed_row(programme, each, sizes[each.name], zone) for each in listed
    ])  # fmt: skip
    around.screen.note((f"Times are of {zone.key if zone else 'UTC'}.", "dim"))
    if programme.halted:
        around.screen.warn("everything is halted: lift that with `doorstep halt --lift`")


@app.command("status")
def status(
    context: typer.Context,
    name: NAME,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until it is finished.")] = False,
    as_json: JSON = False,
) -> None:
    """The books of a send, to the last person: by state, variant and edition."""
    around = here(context)
    with around.log() as log, followed_table(log) as (programme, refresh):
        standing = standing_of(programme, name, around.now())
        if as_json:
            around.screen.json(_status_data(around, programme, standing))
            return
        if not watch:
            _print_status(around, programme, standing)
            return
        _watch(around, programme, name, refresh)


@app.command("pause")
def pause(context: typer.Context, name: NAME, as_json: JSON = False) -> None:
    """Let nothing more of a send go out until it is resumed."""
    _order(context, name, " is paused. Resume it with `doorstep send resume {name}`",
           orders.paused, as_json=as_json)  # fmt: skip


@app.command("resume")
def resume(context: typer.Context, name: NAME, as_json: JSON = False) -> None:
    """Let a paused send go on."""
    _order(context, name, " goes on", orders.resumed, as_json=as_json)


@app.command("cancel")
def cancel(
    context: typer.Context,
    name: NAME,
    yes: YES = False,
    as_json: JSON = False,
) -> None:
    """End a send for good: what has not gone out never will."""
    around = here(context)
    with around.log() as log:
        orders.cancelled(standing_of(read_table(log), name, around.now()), _nobody(around))
    if not yes:
        _confirm(around, f"End {name} for good? What went out stays out. Type yes: ")
    _order(context, name, " is cancelled", orders.cancelled, as_json=as_json)


@app.command("settle")
def settle(
    context: typer.Context,
    name: NAME,
    leave: Annotated[
        bool, typer.Option("--leave", help="Leave those in doubt: perhaps they never got it.")
    ] = False,
    resend: Annotated[
        bool, typer.Option("--resend", help="Send once more: perhaps they get it twice.")
    ] = False,
    yes: YES = False,
    as_json: JSON = False,
) -> None:
    """Decide over the messages of which nobody knows whether SES took them."""
    if leave == resend:
        raise Misconfigured("say one of --leave (perhaps never) and --resend (perhaps twice)")
    around = here(context)
    with around.log() as log:
        standing_of(read_table(log), name, around.now())
    how: Literal["leave", "resend"] = "leave" if leave else "resend"
    states = around.services.get("sender", "/ask/books", send=name)["states"]
    doubtful = int(states.get("in doubt", 0)) + int(states.get("unconfirmed", 0))
    if not doubtful:
        raise NotPossible(f"nothing of {name} is in doubt: there is nothing to settle")
    if resend and not yes:
        people = some(doubtful, "person", "people")
        _confirm(around, f"Up to {people} may get {name} twice. Type yes: ")
    left = "are left so" if leave else "are sent once more when their window is over"
    said = f": {some(doubtful, 'message')} in doubt {left}"
    _order(context, name, said, lambda it, by: orders.settled(it, how, by), as_json=as_json)


@app.command("retry")
def retry(
    context: typer.Context,
    name: NAME,
    yes: YES = False,
    as_json: JSON = False,
) -> None:
    """Send again what SES refused, once the cause is mended. Nobody gets it twice."""
    around = here(context)
    with around.log() as log:
        orders.retried(standing_of(read_table(log), name, around.now()), _nobody(around))
    failed = around.services.get("sender", "/ask/failed", send=name)["failed"]
    number = sum(each["number"] for each in failed if each["retriable"])
    if not as_json:
        around.screen.table(
            [Column("failed", number=True), Column("again", wrap=False), Column("why")],
            [[e["number"], "yes" if e["retriable"] else "no", e["reason"]] for e in failed],
        )
    if not number:
        raise NotPossible(f"nothing of {name} was refused by SES: there is nothing to send again")
    if not yes:
        _confirm(around, f"Send {some(number, 'message')} again? Is it mended? Type yes: ")
    said = f": {some(number, 'message')} that SES refused go out again"
    _order(context, name, said, orders.retried, as_json=as_json)


app.command("lint")(linting.lint)
app.command("preview")(previewing.preview)
app.command("test")(previewing.mail_seeds)
app.command("launch")(approving.launch)
app.command("schedule")(approving.schedule)
app.command("forecast")(show_forecast)


def _order(
    context: typer.Context,
    name: str,
    done: str,
    change: Callable[[Standing, Orderer], SendOrder | None],
    *,
    as_json: bool,
) -> None:
    """Give an order about a send as it stands at this moment; `done` goes on from its name."""
    around = here(context)
    wanted: list[SendOrder] = []

    def decide(programme: ProgrammeTable) -> list[Record]:
        by = Orderer(around.person, around.now())
        made = change(standing_of(programme, name, by.at), by)
        wanted.extend([made] if made is not None else [])
        return [send_order_record(made)] if made is not None else []

    with around.log() as log:
        order(log, decide)
        if as_json:
            around.screen.json(wanted[0] if wanted else read_table(log).orders[name])
            return
    if wanted:
        around.screen.say(("✓ ", "green"), (name, "bold"), done.format(name=name))
    else:
        around.screen.say((name, "bold"), " is paused already; nothing was ordered")


def _audiences(
    around: Surroundings, programme: ProgrammeTable, listed: list[Standing]
) -> dict[str, int | None]:
    """Send to the size of its audience; of one that grows, only the segmenter knows it."""
    sizes: dict[str, int | None] = {each.name: audience(each) for each in listed}
    growing = [each.name for each in listed if each.decision and goes_on(programme, each.name)]
    sizes |= dict.fromkeys(growing)
    try:
        for name in growing:
            books = around.services.get("segmenter", "/ask/books", send=name)
            sizes[name] = int(books["frozen"])
    except NotRunning:
        around.screen.warn("the segmenter does not answer: who has entered a send is not known")
    return sizes


def _nobody(around: Surroundings) -> Orderer:
    """For looking whether an order is possible before anybody is asked."""
    return Orderer("", around.now())


def _confirm(around: Surroundings, question: str) -> None:
    if not around.screen.interactive:
        raise Misconfigured("nobody is here to be asked: say --yes")
    if around.screen.ask(question).casefold() != "yes":
        raise Misconfigured("nothing was ordered")


def _status_data(
    around: Surroundings, programme: ProgrammeTable, standing: Standing
) -> dict[str, Any]:
    data = send_data(programme, standing)
    if standing.state != "draft":
        data["books"] = around.services.get("segmenter", "/ask/books", send=standing.name)
        hindrances = _hindrances(around, standing.name)
        data["held_by_sender"] = hindrances.held
        data["account_stopped"] = hindrances.account_stopped
        data["account_remarks"] = hindrances.account_remarks
    return data


def _print_status(around: Surroundings, programme: ProgrammeTable, standing: Standing) -> None:
    """What the log says is printed even when the services are down."""
    around.screen.out.print(head(programme, standing))
    if standing.state != "draft":
        books = read_books(around.services.get("segmenter", "/ask/books", send=standing.name))
        hindrances = _hindrances(around, standing.name)
        width = around.screen.out.width
        around.screen.out.print(body(programme, standing, books, hindrances, width))


def _watch(
    around: Surroundings, programme: ProgrammeTable, name: str, refresh: Callable[[], int]
) -> None:
    """Draw anew every second until the send is over."""
    with Live(console=around.screen.out, auto_refresh=False, transient=False) as live:
        while True:
            refresh()
            standing = standing_of(programme, name, around.now())
            books = read_books(around.services.get("segmenter", "/ask/books", send=name))
            width = around.screen.out.width
            drawn = body(programme, standing, books, _hindrances(around, name), width)
            live.update(Group(head(programme, standing), drawn), refresh=True)
            if standing.state in OVER:
                return
            time.sleep(WATCH_SECONDS)


def _hindrances(around: Surroundings, name: str) -> Hindrances:
    """What the sender says stands in the way; nothing when it cannot be asked."""
    try:
        said = around.services.get("sender", "/ask/books", send=name)
    except NotRunning:
        return Hindrances()
    return Hindrances(
        said.get("held"),
        bool(said.get("holds_all")),
        said.get("account_stopped"),
        tuple(said.get("account_remarks", ())),
    )
