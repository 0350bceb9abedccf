"""`doorstep status`: everything at one glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer
from rich.text import Text

from services.console.asking import Glance, Health
from services.console.dead_letters import read_letters
from services.console.instances import SERVICES
from services.console.options import JSON
from services.console.programme_topic import ProgrammeTable, read_table
from services.console.screen import Cell, Column, duration, moment, number
from services.console.send_states import State, state_of
from services.console.surroundings import here
from shared.errors import RetryLater

STYLES: Final[Mapping[Health, str]] = {
    "ready": "green",
    "starting": "yellow",
    "stuck": "bold red",
    "down": "bold red",
}
LOOK_AT: Final[tuple[State, ...]] = ("freezing", "held", "sending", "paused", "scheduled")


def status(context: typer.Context, as_json: JSON = False) -> None:
    """Services, lag, open dead letters, sends under way. Exit code 75 when not all are ready."""
    around = here(context)
    with around.log() as log:
        programme = read_table(log)
        letters = Counter(each.said.group for each in read_letters(log) if each.handled is None)
    glances = [
        around.services.glance(instance)
        for service in SERVICES
        for instance in around.services.instances(service)
    ]
    now = around.now()
    states = {
        name: state_of(order, programme.decisions.get(name), now)
        for name, order in sorted(programme.orders.items())
    }
    if as_json:
        around.screen.json(_as_data(str(around.settings.home), glances, programme, states, letters))
    else:
        around.screen.say(("Doorstep", "bold"), f" in {around.settings.home}")
        around.screen.table(_COLUMNS, [row_of(glance, letters) for glance in glances])
        for line in programme_lines(programme, states):
            around.screen.say(line)
        for sentence in unowned(glances, around.settings.partitions):
            around.screen.warn(sentence)
    if any(glance.health != "ready" for glance in glances):
        raise typer.Exit(RetryLater.exit_code)


_COLUMNS: Final = (
    Column("service", wrap=False), Column("", wrap=False),
    Column("address", wrap=False, from_width=60), Column("lag", number=True),
    Column("partitions", number=True), Column("dead letters", number=True), Column(""),
)  # fmt: skip


def row_of(glance: Glance, letters: Mapping[str, int]) -> list[Cell]:
    """One service: how it is, how far behind, and what is special about it.

    `letters`: service to its open dead letters, which stand at its first instance.
    """
    metrics, instance = glance.metrics, glance.instance
    return [
        instance.name,
        Text(glance.health, STYLES[glance.health]),
        instance.url,
        _count(metrics, "doorstep_consumer_lag_records"),
        _count(metrics, "doorstep_partitions_owned"),
        letters.get(instance.service, 0) if instance.name == instance.service else None,
        "; ".join(remarks(metrics)),
    ]


def unowned(glances: Sequence[Glance], partitions: int) -> list[str]:
    """A sentence for each service whose instances answer and do not own all partitions. Pure."""
    found = []
    for service in dict.fromkeys(each.instance.service for each in glances):
        counts = [
            _count(each.metrics, "doorstep_partitions_owned")
            for each in glances
            if each.instance.service == service and each.health == "ready"
        ]
        owned = sum(count for count in counts if count is not None)
        if service != "tracker" and counts and owned != partitions:
            found.append(
                f"the {service} owns {owned} of {partitions} partitions now: the others move, "
                "or wait for an instance that does not answer"
            )
    return found


def remarks(metrics: Mapping[str, float]) -> list[str]:
    """What somebody should know of a service, when there is something."""
    found = []
    for name, sentence in (
        ("doorstep_ready_messages", "{} wait for dispatch"),
        ("doorstep_unconfirmed_messages", "{} in doubt"),
        ("doorstep_outbox_pending_records", "{} to publish"),
        ("doorstep_partitions_blocked", "{} partitions wait for newer readers"),
        ("doorstep_account_held", "sends nothing: the SES account does not let it"),
        ("doorstep_disk_stopped", "takes nothing new in: its disk is nearly full"),
    ):
        if count := round(metrics.get(name, 0)):
            found.append(sentence.format(number(count)))
    age = metrics.get("doorstep_spool_age_seconds", 0)
    if age >= 1:
        found.append(f"the oldest hit waits for {duration(age)}")
    return found


def programme_lines(programme: ProgrammeTable, states: Mapping[str, State]) -> list[Text]:
    """The sends that matter now, and the halt."""
    lines = []
    if programme.halt is not None and programme.halted:
        halt = programme.halt
        why, zone = f": {halt.reason}" if halt.reason else "", programme.zone
        said = (
            f"Everything is halted by {halt.ordered_by} since {moment(halt.ordered_at, zone)}{why}"
        )
        lines.append(Text(said, "bold red"))
    for state in LOOK_AT:
        names = [name for name, each in states.items() if each == state]
        if names:
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if names[8:] else "")
            lines.append(Text.assemble((f"{state}: ", "bold"), shown))
    return lines or [Text("No send is under way.", "dim")]


def _count(metrics: Mapping[str, float], name: str) -> int | None:
    return round(metrics[name]) if name in metrics else None


def _as_data(
    home: str,
    glances: list[Glance],
    programme: ProgrammeTable,
    states: Mapping[str, State],
    letters: Mapping[str, int],
) -> dict[str, Any]:
    return {
        "home": home,
        "services": {
            each.instance.name: {
                "service": each.instance.service,
                "health": each.health,
                "url": each.instance.url,
                "metrics": dict(each.metrics),
            }
            for each in glances
        },
        "open_dead_letters": dict(letters),
        "halt": programme.halt,
        "sends": dict(states),
    }
