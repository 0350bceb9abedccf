"""`doorstep segment ...`: who a segment means, and who of them may be mailed."""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from services.console.asking import Services
from services.console.launching import Counted
from services.console.options import JSON
from services.console.programme_topic import ProgrammeTable, read_table
from services.console.screen import Cell, Column, share
from services.console.surroundings import here
from shared.errors import Misconfigured
from shared.programme.problems import FileProblems, ProgrammeErrors, in_order, no_such
from shared.programme.rule_language import read_rule
from shared.programme.rules import Rule
from shared.programme.shapes import ShapeReader
from shared.programme.yaml_positions import Fields, parse_yaml

REASONS: Final = {
    "complained": "called a mail of ours spam",
    "unsubscribed": "asked for no more mail",
    "no_address": "no e-mail address is known",
    "bad_address": "what was given as an address cannot be one",
    "never_mailed": "a technical mailbox, as abuse@ or noreply@",
    "bounced": "their present address does not work",
    "no_consent": "no consent is on record",
    "hard_bounce": "their inbox does not work",
    "soft_bounces": "their inbox refused mail again and again, and gets none for a while",
    "suppressed": "their inbox is suppressed, or they said no to this topic or send",
    "erased": "erased at their wish",
    "excluded": "excluded from this send",
}

app = typer.Typer(help="Who a segment means.", no_args_is_help=True)


@app.command("list")
def list_segments(
    context: typer.Context,
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="Only these, as `pledged-*`.")
    ] = "*",
    quick: Annotated[
        bool, typer.Option("--quick", help="Without counting who may be mailed.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """All segments with their members, and how many of those may be mailed."""
    around = here(context)
    with around.log() as log:
        programme = read_table(log)
    answer = around.services.get("segmenter", "/ask/segments")["segments"]
    known = [each for each in answer if fnmatch(each["name"], pattern)]
    if not quick:
        _count_mailable(around.services, programme, known, around.screen.err)
    if as_json:
        around.screen.json(known)
        return
    if not known:
        around.screen.say(
            "There are no such segments; programmes are applied with `doorstep apply`"
        )
        return
    columns = [
        Column("segment", wrap=False), Column("members", number=True),
        Column("mailable", number=True), Column("description"),
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            Text(each["name"], "bold"), each.get("members"), each.get("mailable"),
            each.get("description") or "",
        ]
        for each in sorted(known, key=lambda each: str(each["name"]))
    ]  # fmt: skip
    around.screen.table(columns, rows)


@app.command("count")
def count_segment(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A segment, or use --rule.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="A rule: YAML, a file with one, or - to read it.")
    ] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="For sends of this topic.")] = None,
    send: Annotated[str | None, typer.Option("--send", help="For this send.")] = None,
    as_json: JSON = False,
) -> None:
    """How many match, how many of them may be mailed, and why the others may not."""
    if (name is None) == (rule is None):
        raise Misconfigured("say one of a segment's name and --rule")
    around = here(context)
    with around.log() as log:
        wanted = rule_of(read_table(log), name) if name else read_text_rule(rule or "")
    question: dict[str, Any] = {
        "rule": wanted.model_dump(mode="json"),
        "topic": topic,
        "send": send,
    }
    answer = around.services.post("segmenter", "/ask/count", question)
    if as_json:
        around.screen.json(answer)
        return
    around.screen.table((Column(""), Column("people", number=True), Column("", number=True),
                         Column("")), count_rows(Counted.of(answer)))  # fmt: skip


def count_rows(counted: Counted) -> list[list[Cell]]:
    """All who match, less each reason, leaves those who may be mailed."""
    rows: list[list[Cell]] = [["match", counted.matching, "", ""]]
    for reason, count in sorted(counted.left_out.items(), key=lambda each: (-each[1], each[0])):
        rows.append(
            [
                Text(f"- {reason.replace('_', ' ')}", "yellow"), Text(f"{-count:,}", "yellow"),
                share(count, counted.matching), Text(REASONS.get(reason, ""), "dim"),
            ]
        )  # fmt: skip
    mailable = share(counted.mailable, counted.matching)
    rows.append([Text("mailable", "bold green"), counted.mailable, mailable, ""])
    rows.append(
        [
            Text("  of them unplaced", "dim"), counted.unplaced,
            share(counted.unplaced, counted.mailable),
            Text("no postcode, or none that the directory knows, and no area given", "dim"),
        ]
    )  # fmt: skip
    return rows


def rule_of(programme: ProgrammeTable, name: str) -> Rule:
    """The rule of an applied segment. Raises Misconfigured."""
    segment = programme.segment(name)
    if segment is None:
        raise Misconfigured(": ".join(no_such("segment", name, programme.names("segment"))))
    return segment.rule


def read_text_rule(said: str) -> Rule:
    """A rule given as YAML, as the path of a file, or as `-` on standard input.

    A whole segment file will do too: its `where` is meant. Raises ProgrammeErrors, Misconfigured.
    """
    text, source = said, "--rule"
    if said == "-":
        text, source = sys.stdin.read(), "standard input"
    elif "\n" not in said and (":" not in said or Path(said).is_file()):
        text, source = _text_of(Path(said)), said
    problems = FileProblems(source)
    node = parse_yaml(text, problems)
    if isinstance(node, Fields) and "where" in node.entries:
        node = node.entries["where"].value
    found = read_rule(node, ShapeReader(problems), ()) if node is not None else None
    if found is None or problems.problems:
        raise ProgrammeErrors(in_order(problems.problems))
    return found


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f'--rule: "{path}" is neither a rule (as `tag: supporter`) nor a file that can be read'
        ) from error


def _count_mailable(
    services: Services, programme: ProgrammeTable, known: list[dict[str, Any]], console: Console
) -> None:
    """Add `mailable` where the segmenter has not said it and the rule is on the log."""
    missing = [each for each in known if "mailable" not in each]
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for each in progress.track(missing, description="Counting who may be mailed"):
            segment = programme.segment(str(each["name"]))
            if segment is not None:
                question = {"rule": segment.rule.model_dump(mode="json")}
                answer = services.post("segmenter", "/ask/count", question)
                each["mailable"] = Counted.of(answer).mailable
