"""What the demo shows: books, areas, rates, movements, and where to go next."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
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
        f"{send} {one['frozen'] - one['open']:,}/{one['frozen']:,}"
        + (f" ({one['in_doubt']} in doubt)" if one["in_doubt"] else "")
        for send, one in books.items()
    ]
    console.print("  closed: " + " · ".join(parts), style="dim")


def books(console: Console, found: dict[str, Books]) -> None:
    """An account per send and variant: audience = the sum of the eight final states."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("", no_wrap=True)
    columns: list[tuple[int, dict[str, int], int, int]] = []
    for send, one in found.items():
        table.add_column(send, justify="right")
        columns.append((one["frozen"], one["states"], _sum(one, "delivered"), _sum(one, "bounced")))
        variants = sorted(one["by_variant"].items()) if len(one["by_variant"]) > 1 else []
        for variant, part in variants:
            table.add_column(f"{variant}", justify="right", style="dim")
            columns.append((part["frozen"], part["states"], part["delivered"], part["bounced"]))
    for state in STATES:
        table.add_row(state, *(f"{states.get(state, 0):,}" for _, states, _, _ in columns))
    table.add_section()
    table.add_row("audience", *(f"{frozen:,}" for frozen, *_ in columns), style="bold")
    table.add_row("  delivered", *(f"{number:,}" for _, _, number, _ in columns), style="dim")
    table.add_row("  bounced", *(f"{number:,}" for *_, number in columns), style="dim")
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
    table.add_column("send / variant", no_wrap=True)
    for head in ("mails", "clicks true", "measured", "acts true", "measured"):
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


def movements(console: Console, home: Path, crowd: dict[str, Any]) -> None:
    """Segments now, who entered and left since the programme began, and what the crowd did."""
    moved = _moved(home / "log.db")
    connection = sqlite3.connect(f"file:{home}/segmenter/people.db?mode=ro", uri=True)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("segment", no_wrap=True)
    for head in ("before", "entered", "left", "now"):
        table.add_column(head, justify="right")
    for segment, now in connection.execute(
        "select l.segment, (select count(*) from membership m where m.segment = l.segment)"
        " from (select distinct segment from live_segment) l order by l.segment"
    ):
        entered, left = moved[segment, "entered"], moved[segment, "left"]
        table.add_row(
            segment, f"{now - entered + left:,}", f"+{entered:,}", f"-{left:,}", f"{now:,}"
        )
    connection.close()
    console.print(table)
    volunteers = sum(number for name, number in crowd.items() if name.endswith("/acted"))
    console.print(
        f"  The crowd: {volunteers:,} volunteered, {crowd.get('unsubscribed', 0):,} unsubscribed; "
        f"a proxy fetched {crowd.get('prefetched', 0):,} mails, "
        f"a scanner followed {crowd.get('scanned', 0):,} by its name and "
        f"{crowd.get('scanned in disguise', 0):,} as a browser.",
        style="dim",
    )


def _moved(log: Path) -> Counter[tuple[str, str]]:
    """(segment, "entered" or "left") to the number of such records on `memberships`."""
    connection = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    moved: Counter[tuple[str, str]] = Counter()
    for (value,) in connection.execute(
        "select value from record where topic = (select id from topic where name = 'memberships')"
    ):
        told = json.loads(value)
        moved[told["segment"], told["change"]] += 1
    connection.close()
    return moved


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
        f"  The event stream:    .venv/bin/doorstep --home {home} events tail --limit 20\n"
        "  The command:         source .venv/bin/activate, then doorstep --help\n"
        "  The tutorial:        docs/tutorial/first-programme.md\n"
        "  How it holds:        docs/explanation/delivery.md",
        soft_wrap=True,  # a command that is broken in two cannot be copied
    )


def _sum(one: Books, mark: str) -> int:
    return sum(int(part[mark]) for part in one["by_variant"].values())


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
