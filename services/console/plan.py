"""`doorstep plan DIR` and `doorstep apply DIR`: a programme as files, and as the services know it.

A plan only reads. Applying writes every definition that is new or changed twice: as the version
that stays, and as the newest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, assert_never

import typer
from rich.text import Text

from services.console.asking import Services
from services.console.launching import Counted
from services.console.options import JSON, YES
from services.console.programme_topic import (
    ProgrammeTable,
    definition_records,
    order,
    read_table,
    removal_record,
)
from services.console.screen import Cell, Column, Screen, number, some
from services.console.send_states import OVER, state_of
from services.console.surroundings import Surroundings, here
from shared.errors import Misconfigured
from shared.log.port import Log
from shared.log.record import Record
from shared.programme.definitions import (
    Areas,
    Campaign,
    Definition,
    Segment,
    Send,
    Template,
)
from shared.programme.problems import Problem
from shared.programme.programme import Programme
from shared.programme.reading import read_programme
from shared.programme.versions import Action, Change, diff_programmes, to_wire

DIRECTORY = Annotated[
    str, typer.Argument(metavar="DIR", help="The folder of the programme, with campaign.yaml.")
]
ALL = Annotated[bool, typer.Option("--all", help="List what does not change, too.")]

SIGNS: Final[Mapping[Action, tuple[str, str]]] = {
    "new": ("+", "green"),
    "changed": ("~", "yellow"),
    "removed": ("-", "red"),
    "unchanged": (" ", "dim"),
}


def plan(
    context: typer.Context, directory: DIRECTORY, show_all: ALL = False, as_json: JSON = False
) -> None:
    """Check a programme and show what applying it would change."""
    around = here(context)
    programme = read_programme(directory)
    with around.log_if_there() as log:
        current = read_table(log) if log is not None else ProgrammeTable()
    changes = diff_programmes(current.newest, programme)
    data = _show(around, directory, programme, current, changes, show_all=show_all, as_json=as_json)
    if as_json:
        around.screen.json(data)
    elif any(change.action != "unchanged" for change in changes):
        around.screen.note(f"Nothing was changed. To do so: doorstep apply {directory}")


def apply(
    context: typer.Context,
    directory: DIRECTORY,
    yes: YES = False,
    show_all: ALL = False,
    as_json: JSON = False,
) -> None:
    """Make a programme known to all services. Launched sends keep what they were launched with."""
    around = here(context)
    programme = read_programme(directory)
    with around.log_to_write() as log:
        current = read_table(log)
        changes = diff_programmes(current.newest, programme)
        data = _show(
            around, directory, programme, current, changes, show_all=show_all, as_json=as_json
        )
        written = [change for change in changes if change.action != "unchanged"]
        if written:
            if not yes:
                _confirm(around.screen, len(written))
            _write(around, log, programme, current, changes)
    if as_json:
        around.screen.json(data | {"applied": len(written)})
        return
    said = f"{some(len(written), 'change')} applied" if written else "Nothing to do"
    around.screen.say(("✓ ", "green"), said)


def change_rows(
    changes: Sequence[Change], details: Mapping[tuple[str, str], str], *, show_all: bool
) -> list[list[Cell]]:
    """A row for each change; what does not change is counted by kind unless all is shown."""
    rows: list[list[Cell]] = []
    for change in changes:
        if change.action == "unchanged" and not show_all:
            continue
        sign, style = SIGNS[change.action]
        said = "; ".join(
            part for part in (change.detail, details.get((change.kind, change.name), "")) if part
        )
        rows.append(
            [Text(f"{sign} {change.action}", style), change.kind, Text(change.name, "bold"), said]
        )
    return rows


def described(definition: Definition) -> str:
    """What a definition is about, in a few words."""
    match definition:
        case Campaign():
            return f"{definition.organisation}, from {definition.from_address}"
        case Areas():
            return f"{some(len(definition.by_code), 'area')} of kind {definition.kind}"
        case Segment():
            return definition.description
        case Template():
            return f"“{definition.subject}”"
        case Send():
            to = f"to {definition.segment}"
            many = len(definition.variants)
            return f"{to}, {many} variants" if many > 1 else to
        case _:
            assert_never(definition)


def summary(changes: Sequence[Change]) -> str:
    """`3 new, 1 changed, 12 unchanged, none removed`."""
    counts = Counter(change.action for change in changes)
    words: tuple[Action, ...] = ("new", "changed", "unchanged", "removed")
    return ", ".join(f"{number(counts[word]) if counts[word] else 'none'} {word}" for word in words)


def doubts(
    changes: Sequence[Change], current: ProgrammeTable, states: Mapping[str, str]
) -> list[str]:
    """What somebody should know before applying: sends that are under way are not touched."""
    found = []
    for change in changes:
        state = states.get(change.name, "draft")
        if change.kind != "send" or state == "draft" or state in OVER:
            continue
        if change.action == "removed":
            found.append(
                f"send {change.name} is {state}: removing its file does not stop it. "
                f"To do that: doorstep send cancel {change.name}"
            )
        elif change.action == "changed":
            found.append(
                f"send {change.name} is {state} and goes on as it was approved; "
                "the change counts only for a new approval"
            )
    campaigns = [c.name for c in changes if c.kind == "campaign" and c.action == "removed"]
    if campaigns and current.newest:
        found.insert(
            0,
            f"this is another programme: here is that of {', '.join(campaigns)}, "
            "and all of it would be removed",
        )
    return found


def _show(
    around: Surroundings,
    directory: str,
    programme: Programme,
    current: ProgrammeTable,
    changes: Sequence[Change],
    *,
    show_all: bool,
    as_json: bool,
) -> dict[str, Any]:
    """Print what would change, unless it is wanted as JSON; the same as data."""
    now = around.now()
    states = {
        name: state_of(known, current.decisions.get(name), now)
        for name, known in current.orders.items()
    }
    counts = _counts(around.services, programme, changes)
    remarks = doubts(changes, current, states)
    data = _as_data(directory, programme, changes, counts, remarks)
    if as_json:
        return data
    for warning in programme.warnings:
        _say_problem(around.screen, warning)
    definitions = programme.by_key()
    details = {
        key: described(definitions[key])
        for change in changes
        if (key := (change.kind, change.name)) in definitions and change.action == "new"
    }
    for name, found in counts.items():
        said_of = details.get(("segment", name), "")
        details["segment", name] = "; ".join(part for part in (said_of, _counted(found)) if part)
    rows = change_rows(changes, details, show_all=show_all)
    if rows:
        columns = [
            Column("", wrap=False), Column("kind", wrap=False), Column("name", wrap=False),
            Column("detail"),
        ]  # fmt: skip
        around.screen.table(columns, rows)
    around.screen.say((summary(changes), "bold"))
    touched = [c for c in changes if c.kind == "segment" and c.action in ("new", "changed")]
    if touched and not counts:
        around.screen.note("Segments are not counted: the segmenter is not running.")
    for doubt in remarks:
        around.screen.warn(doubt)
    return data


def _counts(
    services: Services, programme: Programme, changes: Sequence[Change]
) -> dict[str, Counted]:
    """Live counts of the segments that are new or changed; none when nobody can be asked."""
    definitions = programme.by_key()
    touched = [
        definitions[change.kind, change.name]
        for change in changes
        if change.kind == "segment" and change.action in ("new", "changed")
    ]
    if not touched or not services.ready("segmenter"):
        return {}
    return {
        segment.name: Counted.of(
            services.post("segmenter", "/ask/count", {"rule": segment.rule.model_dump(mode="json")})
        )
        for segment in touched
        if isinstance(segment, Segment)
    }


def _counted(found: Counted) -> str:
    return f"{number(found.matching)} match, {number(found.mailable)} mailable"


def _confirm(screen: Screen, count: int) -> None:
    if not screen.interactive:
        raise Misconfigured("nobody is here to be asked: say --yes")
    if screen.ask(f"Apply {some(count, 'change')}? Type yes: ").casefold() != "yes":
        raise Misconfigured("nothing was applied")


def _write(
    around: Surroundings,
    log: Log,
    programme: Programme,
    seen: ProgrammeTable,
    changes: Sequence[Change],
) -> None:
    """All at once, and only onto what was shown."""
    now, person = around.now(), around.person
    definitions = programme.by_key()

    def decide(current: ProgrammeTable) -> list[Record]:
        if current.newest != seen.newest:
            raise Misconfigured(
                "somebody else applied a programme at the same moment: plan again, then apply"
            )
        records: list[Record] = []
        for change in changes:
            if change.action in ("new", "changed"):
                definition = to_wire(definitions[change.kind, change.name], now, person)
                records += definition_records(definition)
            elif change.action == "removed":
                records.append(removal_record(change.kind, change.name, now))
        return records

    order(log, decide)


def _say_problem(screen: Screen, problem: Problem) -> None:
    screen.warn(str(problem))


def _as_data(
    directory: str,
    programme: Programme,
    changes: Sequence[Change],
    counts: Mapping[str, Counted],
    said: Sequence[str],
) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for change in changes:
        entry: dict[str, Any] = {
            "kind": change.kind, "name": change.name, "action": change.action,
            "detail": change.detail,
        }  # fmt: skip
        if change.kind == "segment" and change.name in counts:
            found = counts[change.name]
            entry |= {"matching": found.matching, "mailable": found.mailable}
        listed.append(entry)
    return {
        "directory": directory,
        "changes": listed,
        "warnings": [*(str(warning) for warning in programme.warnings), *said],
    }
