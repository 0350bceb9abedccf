"""What the demo shows: books, areas, rates, movements, and where to go next."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.rehearsal.behaviour import rates_of

Books = dict[str, Any]
STATES = (
    "accepted", "suppressed", "excluded", "capped", "expired", "cancelled", "failed", "unconfirmed",
)  # fmt: skip


def progress(console: Console, books: dict[str, Books]) -> None:
    """One line of how far every send is."""
    parts = [
        f"{send} {one['states'].get('accepted', 0):,} accepted, {one['open']:,} open"
        + (f", {one['in_doubt']} in doubt" if one["in_doubt"] else "")
        for send, one in books.items()
    ]
    console.print("  " + " · ".join(parts), style="dim")


def books(console: Console, found: dict[str, Books]) -> None:
    """Books per send and variant: audience = the sum of the eight final states."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("send / variant")
    for head in ("audience", *STATES, "delivered", "bounced"):
        table.add_column(head, justify="right")
    for send, one in found.items():
        delivered, bounced = _sum(one, "delivered"), _sum(one, "bounced")
        _line(table, send, one["frozen"], one["states"], delivered, bounced)
        for variant, part in sorted(one["by_variant"].items()):
            _line(
                table, f"  {variant}", part["frozen"], part["states"],
                part["delivered"], part["bounced"], style="dim",
            )  # fmt: skip
    console.print(table)


def areas(console: Console, one: Books, most: int = 8) -> None:
    """The largest editions of a send."""
    table = Table(box=None, padding=(0, 1), header_style="bold", title_justify="left")
    table.add_column("area (edition)")
    for head in ("audience", "accepted", "opened", "clicked", "volunteered"):
        table.add_column(head, justify="right")
    ranked = sorted(one["by_edition"].items(), key=lambda item: -item[1]["frozen"])
    for edition, part in ranked[:most]:
        table.add_row(
            edition or "elsewhere", f"{part['frozen']:,}",
            f"{part['states'].get('accepted', 0):,}", f"{part['opened']:,}",
            f"{part['clicked']:,}", f"{part['acted']:,}",
        )  # fmt: skip
    console.print()
    console.print(table)
    if len(ranked) > most:
        console.print(f"  and {len(ranked) - most} more areas", style="dim")


def rates(console: Console, found: dict[str, Books]) -> None:
    """The crowd's true rates beside what Doorstep measured (of the accepted)."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("send / variant")
    for head in ("mails", "clicks true", "measured", "volunteers true", "measured"):
        table.add_column(head, justify="right")
    for send, one in found.items():
        for variant, part in sorted(one["by_variant"].items()):
            mails = part["states"].get("accepted", 0)
            true = rates_of(send, variant)
            table.add_row(
                f"{send} / {variant}", f"{mails:,}",
                f"{true.clicks:.1%}", _share(part["clicked"], mails),
                f"{true.clicks * true.acts:.1%}", _share(part["acted"], mails),
            )  # fmt: skip
    console.print(table)
    console.print(
        "  Opens and clicks of proxies and scanners are kept on `events`, and not counted here.",
        style="dim",
    )


def movements(console: Console, store: Path, crowd: dict[str, Any]) -> None:
    """Segments now, and what the crowd did to get there."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("segment")
    table.add_column("members now", justify="right")
    for segment, number in connection.execute(
        "select l.segment, (select count(*) from membership m where m.segment = l.segment)"
        " from live_segment l order by l.segment"
    ):
        table.add_row(segment, f"{number:,}")
    connection.close()
    console.print(table)
    volunteers = sum(number for name, number in crowd.items() if name.endswith("/acted"))
    console.print(
        f"  The crowd: {volunteers:,} volunteered, {crowd.get('unsubscribed', 0):,} unsubscribed, "
        f"{crowd.get('prefetched', 0):,} mails were fetched by a proxy, "
        f"{crowd.get('scanned', 0):,} were followed by a scanner.",
        style="dim",
    )


def unbalanced(found: dict[str, Books]) -> list[str]:
    """A sentence for each send whose books do not balance."""
    said = []
    for send, one in found.items():
        closed = sum(one["states"].get(state, 0) for state in STATES)
        if closed != one["frozen"] or one["open"] or one["in_doubt"]:
            said.append(f"{send}: {one['frozen']} in the audience, {closed} with a final state")
        if not one["frozen"]:
            said.append(f"{send}: nobody was in the audience")
    return said


def farewell(console: Console, home: Path, seconds: float) -> None:
    """Where to go next."""
    console.print()
    console.rule(f"[bold]Done in {seconds:.0f} s[/bold]", align="left")
    console.print(
        f"  The delivered mails: {home}/ses-sandbox/mail/new (open one in any mail reader)\n"
        f"  The event stream:    doorstep --home {home} events tail --limit 20\n"
        "  The tutorial:        docs/tutorial/first-programme.md\n"
        "  How it holds:        docs/explanation/delivery.md"
    )


def _line(
    table: Table, name: str, frozen: int, states: dict[str, int], delivered: int, bounced: int,
    style: str = "",
) -> None:  # fmt: skip
    table.add_row(
        name, f"{frozen:,}", *(f"{states.get(state, 0):,}" for state in STATES),
        f"{delivered:,}", f"{bounced:,}", style=style,
    )  # fmt: skip


def _sum(one: Books, mark: str) -> int:
    return sum(int(part[mark]) for part in one["by_variant"].values())


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
