"""A send as people see it: its line in the list, its head, and its books. Pure, but for drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.text import Text

from services.console.books import (
    MOST_EDITIONS,
    Books,
    books_bar,
    equation,
    part_rows,
    state_rows,
)
from services.console.orders import Standing
from services.console.programme_topic import ProgrammeTable
from services.console.screen import Cell, minute, moment, number, table
from services.console.send_states import MEANING, OPEN, OVER, State

WIDEST_BAR: Final = 80
AREA_NAMES: Final = ("name", "area_name", "place")
"""Columns of an areas file that say how people call an area."""

STYLES: Final[dict[State, str]] = {
    "draft": "dim",
    "scheduled": "cyan",
    "freezing": "cyan",
    "held": "bold yellow",
    "sending": "bold green",
    "paused": "bold yellow",
    "cancelling": "yellow",
    "finished": "green",
    "cancelled": "dim",
    "empty": "dim",
}


@dataclass(frozen=True, slots=True)
class Hindrances:
    """What the sender says stands in the way of a send, or may do so soon.

    `held`: why it holds the send back, until somebody resumes it, or, where it `holds_all`,
    releases the ledger. `account_stopped`: why no mail
    at all can go; that ends by itself. `account_remarks`: what to know though mail goes.
    """

    held: str | None = None
    holds_all: bool = False
    account_stopped: str | None = None
    account_remarks: tuple[str, ...] = ()


def goes_on(programme: ProgrammeTable, name: str) -> bool:
    """Whether the send mails whoever enters its segment, for as long as it is open."""
    send = programme.send(name)
    return send is not None and send.mode == "newly_qualifies"


def audience(standing: Standing) -> int | None:
    """How many are in the audience, as the log knows it: frozen, or else approved."""
    if standing.decision is not None:
        return standing.decision.frozen
    return standing.order.approved_count if standing.order is not None else None


def listed_row(
    programme: ProgrammeTable, standing: Standing, size: int | None, zone: ZoneInfo | None
) -> list[Cell]:
    """The line of a send in the list. `size`: of its audience, where it is known."""
    send = programme.send(standing.name)
    order_ = standing.order
    return [
        Text(standing.name, "bold"),
        Text(standing.state, STYLES[standing.state]),
        send.segment if send else None,
        minute(order_.due_at, zone) if order_ else None,
        minute(send.deadline, zone) if send else None,
        size,
        order_.ordered_by if order_ else None,
    ]


def send_data(programme: ProgrammeTable, standing: Standing) -> dict[str, Any]:
    """A send as JSON."""
    send = programme.send(standing.name)
    return {
        "send": standing.name,
        "state": standing.state,
        "segment": send.segment if send else None,
        "deadline": send.deadline if send else None,
        "order": standing.order,
        "decision": standing.decision,
        "halted": standing.halted,
    }


def head(programme: ProgrammeTable, standing: Standing) -> RenderableType:
    """What the log alone says of a send."""
    zone = programme.zone
    send = programme.send(standing.name)
    line = Text.assemble((standing.name, "bold"), "  ", (standing.state, STYLES[standing.state]))
    if standing.order and standing.order.due_at:
        line.append(f"  due {moment(standing.order.due_at, zone)}")
    if send and send.deadline:
        line.append(f"  deadline {moment(send.deadline, zone)}")
    if send and send.until:
        line.append(f"  until {moment(send.until, zone)}")
    is_open = standing.state == "sending" and goes_on(programme, standing.name)
    lines = [line, Text(OPEN if is_open else MEANING[standing.state], "dim")]
    if standing.halted and standing.state not in OVER:
        lines.append(Text("Everything is halted: nothing goes out.", "bold yellow"))
    if standing.decision and standing.decision.reason:
        lines.append(Text(f"{standing.decision.reason}", "yellow"))
    if standing.order and standing.order.ordered_by:
        order_ = standing.order
        lines.append(
            Text(f"Last order by {order_.ordered_by}, {moment(order_.ordered_at, zone)}", "dim")
        )
    return Group(*lines)


def body(
    programme: ProgrammeTable,
    standing: Standing,
    books: Books,
    hindrances: Hindrances,
    width: int,
) -> RenderableType:
    """The books, as a bar, an equation and tables, below what the sender says stands in the way."""
    if not books.frozen:
        if goes_on(programme, standing.name):
            return Text(f"Nobody {'has ' * (standing.state not in OVER)}entered its segment.")
        return Text(f"Nobody {'was' if standing.state in OVER else 'is'} in its audience.")
    parts: list[RenderableType] = [Text()]
    if hindrances.held:
        parts.append(Text(f"The sender holds it back: {hindrances.held}", "bold yellow"))
        if not hindrances.holds_all:
            parts.append(Text(f"Let it go on: doorstep send resume {standing.name}", "yellow"))
    if hindrances.account_stopped and standing.state not in OVER:
        parts.append(Text(f"No mail goes now: {hindrances.account_stopped}", "bold yellow"))
    parts += [Text(remark, "yellow") for remark in hindrances.account_remarks]
    parts += [
        books_bar(books, min(width, WIDEST_BAR)),
        Text(equation(books), "" if books.balanced else "bold red"),
    ]
    parts += [Text(), table(*state_rows(books), width)]
    if books.variants:
        parts += [Text(), table(*part_rows("variant", books.variants, {}), width)]
    if len(books.editions) > 1 or any(part.name for part in books.editions):
        names = _area_names(programme, standing.name)
        parts += [Text(), table(*part_rows("edition", books.editions, names, MOST_EDITIONS), width)]
        if len(books.editions) > MOST_EDITIONS:
            more = len(books.editions) - MOST_EDITIONS
            parts.append(Text(f"and {number(more)} more editions; --json shows all", "dim"))
    return Group(*parts)


def _area_names(programme: ProgrammeTable, name: str) -> dict[str, str]:
    """Edition to how people call it, where the areas file says."""
    send = programme.send(name)
    areas = programme.areas(send.areas) if send and send.areas else None
    if areas is None:
        return {}
    said = {code: _name_in(data) for code, data in areas.by_code.items()}
    return {code: f"{code} {name}" for code, name in said.items() if name}


def _name_in(data: Mapping[str, Any]) -> str | None:
    """The first of the usual columns for a name that has one."""
    said = (data.get(column) for column in AREA_NAMES)
    return next((name for name in said if isinstance(name, str) and name), None)
