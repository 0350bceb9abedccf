"""What people see: sentences, tables and bars on a terminal, or JSON for programs.

Text of users is never read as markup. Answers go to standard output, remarks to standard error,
so that what is piped on is only the answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

PIPED_WIDTH: Final = 140
"""Columns of a table that goes into a file or a pipe."""


BETWEEN: Final = 3
NARROWEST: Final = 16
"""Cells between columns, and for a column whose text may be wrapped."""


class Column(NamedTuple):
    """A column of a table; numbers stand to the right.

    `from_width`: left out on a terminal that is narrower; where that is not enough, those with a
    `from_width` give way, the widest wish first.
    """

    title: str
    number: bool = False
    wrap: bool = True
    from_width: int = 0


Cell = str | int | Text | None


class Screen:
    """Made once for each command."""

    def __init__(self) -> None:
        self.out, self.err = _console(sys.stdout), _console(sys.stderr, stderr=True)

    @property
    def interactive(self) -> bool:
        """Whether somebody is there to be asked."""
        return sys.stdin.isatty()

    def ask(self, question: str) -> str:
        """What somebody types as the answer; empty at the end of the input."""
        self.err.print(Text(question), end="")
        return sys.stdin.readline().strip()

    def say(self, *parts: str | tuple[str, str] | Text) -> None:
        """A line of the answer; a part may be (text, style)."""
        self.out.print(Text.assemble(*parts), soft_wrap=True)

    def note(self, *parts: str | tuple[str, str] | Text) -> None:
        """A remark that is no part of the answer."""
        self.err.print(Text.assemble(*parts), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A remark that somebody should read."""
        self.err.print(Text.assemble(("Note: ", "bold yellow"), text), soft_wrap=True)

    def fail(self, text: str) -> None:
        """Why a command did not do what was asked."""
        first, *rest = text.split("\n")
        self.err.print(Text.assemble(("Error: ", "bold red"), first), soft_wrap=True)
        for line in rest:
            self.err.print(Text(line), soft_wrap=True)

    def json(self, data: Any) -> None:
        """The answer for programs: one JSON value."""
        text = json.dumps(data, ensure_ascii=False, indent=2, default=_plain)
        self.out.file.write(text + "\n")

    def json_line(self, data: Any) -> None:
        """One JSON value on one line, at once."""
        self.out.file.write(json.dumps(data, ensure_ascii=False, default=_plain) + "\n")
        self.out.file.flush()

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        self.out.print(table(columns, rows, self.out.width))


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int) -> Table:
    """A table without lines but the one under its head, for a terminal of that width."""
    cells = [[_cell(each) for each in row] for row in rows]
    shown = _shown(columns, cells, width)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in (columns[index] for index in shown):
        made.add_column(
            Text(column.title),
            justify="right" if column.number else "left",
            no_wrap=column.number or not column.wrap,
            overflow="fold",
        )
    for line in cells:
        made.add_row(*(line[index] for index in shown))
    return made


def _shown(columns: Sequence[Column], cells: Sequence[Sequence[Text]], width: int) -> list[int]:
    """The columns there is room for, since a number that is cut off reads as another number."""
    longest = [
        max([len(column.title), *(line[index].cell_len for line in cells)])
        for index, column in enumerate(columns)
    ]
    needed = [
        min(most, NARROWEST) if column.wrap and not column.number else most
        for column, most in zip(columns, longest, strict=True)
    ]
    shown = [index for index, each in enumerate(columns) if each.from_width <= width]
    while sum(needed[index] + BETWEEN for index in shown) - BETWEEN > width:
        optional = [index for index in shown if columns[index].from_width]
        if not optional:
            break
        shown.remove(max(optional, key=lambda index: columns[index].from_width))
    return shown


def progress_bar(console: Console) -> Progress:
    """A bar that is gone when it is done, so that what remains is the answer; none in a pipe."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def number(value: float) -> str:
    """A count as people write it: 4,100."""
    return f"{value:,}"


def some(count: int, one: str, many: str = "") -> str:
    """`1 row`, `4,100 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share(part: int, whole: int) -> str:
    """A percentage, without pretending to more than is there."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    return f"{percent:.1f}%" if 0 < percent < 10 else f"{percent:.0f}%"


def moment(at: datetime | str | None, zone: ZoneInfo | None = None) -> str:
    """A time as people read it, to the second, with its zone; in UTC when none is given."""
    if not at:
        return "-"
    known = datetime.fromisoformat(at) if isinstance(at, str) else at
    local = known.astimezone(zone or UTC)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname() or ''}".rstrip()


def minute(at: datetime | None, zone: ZoneInfo | None = None) -> str | None:
    """A time to the minute, for tables whose head names the zone."""
    return None if at is None else f"{at.astimezone(zone or UTC):%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """A length of time in its largest unit and the next: `1 h 20 min`, `157 d`."""
    whole = round(abs(seconds))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    largest = next((at for at, (_, size) in enumerate(units) if whole >= size), len(units) - 1)
    parts: list[str] = []
    for name, size in units[largest : largest + 2]:
        count, whole = divmod(whole, size)
        if count or not parts:
            parts.append(f"{count} {name}")
    return " ".join(parts)


def bar(parts: Iterable[tuple[int, str]], width: int) -> Text:
    """One bar of `width` cells out of (count, style); what is there is at least one cell wide."""
    counted = [(count, style) for count, style in parts if count > 0]
    whole = sum(count for count, _ in counted)
    made = Text()
    left = width
    for index, (count, style) in enumerate(counted):
        after = len(counted) - index - 1
        cells = left if not after else max(1, min(left - after, round(width * count / whole)))
        made.append("█" * cells, style)
        left -= cells
    return made if whole else Text("░" * width, "dim")


def _cell(cell: Cell) -> Text:
    match cell:
        case Text():
            return cell
        case None:
            return Text("-", "dim")
        case int():
            return Text(number(cell))
        case _:
            return Text(cell)


def _console(stream: Any, *, stderr: bool = False) -> Console:
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(
        file=stream, highlight=False, markup=False, emoji=False, stderr=stderr, width=width
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
