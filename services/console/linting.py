"""`doorstep send lint`: everything that can be known of a send's mails before it is approved.

What stops here stops a launch, too; a launch leaves out what takes long (links, spam score).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from services.console import destinations
from services.console.asking import Services
from services.console.destinations import DEAD, Asked
from services.console.lint_findings import (
    TRIAL,
    FieldUse,
    Finding,
    counts_lacking,
    field_uses,
    lacking_question,
    of_definitions,
    of_lacking,
    of_trial,
    without_doubles,
)
from services.console.options import JSON, NAME
from services.console.orders import NotPossible
from services.console.programme_topic import ProgrammeTable, read_table
from services.console.screen import Screen, number, some
from services.console.spam_score import SpamScore, find_spamassassin, spam_score
from services.console.surroundings import here
from shared.programme.definitions import Send
from shared.programme.problems import no_such

MARKS: Final = {"good": ("✓", "green"), "warns": ("!", "yellow"), "stops": ("✗", "red")}
UNKNOWN: Final = ("-", "dim")


@dataclass(slots=True)
class Report:
    """`lacking`: fields that the mails show, with how many of the mailable lack each. `links` and
    `scores` (by variant) None: they were not asked for; `scores` empty: there is no SpamAssassin.
    """

    send: Send
    findings: list[Finding] = field(default_factory=list)
    mailable: int = 0
    lacking: list[tuple[FieldUse, int]] = field(default_factory=list)
    links: list[Asked] | None = None
    all_links: int = 0
    scores: dict[str, SpamScore | None] | None = None

    def of(self, level: str) -> list[Finding]:
        """Those of a level, file by file and line by line."""
        return sorted((f for f in self.findings if f.level == level), key=_by_place)


def _by_place(found: Finding) -> tuple[str, int]:
    file, _, line = found.where.rpartition(":")
    return (file, int(line)) if file and line.isdigit() else (found.where, 0)


def lint(
    context: typer.Context,
    name: NAME,
    links: Annotated[
        bool, typer.Option("--links/--no-links", help="Ask for the pages that links lead to.")
    ] = True,
    as_json: JSON = False,
) -> None:
    """Look for what is wrong with a send's mails, before anybody approves it."""
    around = here(context)
    with around.log() as log:
        table = read_table(log)
    send = applied(table, name)
    report = examine(around.services, table, send)
    if links:
        _follow_links(report, table)
    _score(report, around.services)
    if as_json:
        around.screen.json(as_data(report))
    else:
        show(around.screen, report)
    if report.of("stops"):
        raise typer.Exit(NotPossible.exit_code)


def applied(table: ProgrammeTable, name: str) -> Send:
    """The send as last applied. Raises NotPossible when there is none of that name."""
    send = table.applied_send(name)
    if send is None:
        message, hint = no_such("send", name, table.names("send"))
        raise NotPossible(f"{message}: {hint}")
    return send


def examine(
    services: Services, table: ProgrammeTable, send: Send, *, only_gaps: bool = False
) -> Report:
    """All that the services know at once: definitions, rendered mails, who lacks what.

    `only_gaps`: nobody is counted for a field that something stands in for.
    """
    report = Report(send)
    found = of_trial(services.post("renderer", "/ask/trial", {"send": send.name}))
    uses = [use for use in field_uses(table, send) if use.gap or not only_gaps]
    segment = table.segment(send.segment)
    if uses and segment is not None:
        question = {
            "rule": segment.rule.model_dump(mode="json"), "topic": send.topic, "send": send.name,
            **lacking_question(uses),
        }  # fmt: skip
        answer = services.post("segmenter", "/ask/lacking", question)
        report.mailable = int(answer["mailable"])
        report.lacking = counts_lacking(uses, answer)
        found += of_lacking(report.lacking, report.mailable)
    report.findings = without_doubles([*found, *of_definitions(table, send)])
    return report


def as_data(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {
        "send": report.send.name,
        "stops": [each.as_json() for each in report.of("stops")],
        "warns": [each.as_json() for each in report.of("warns")],
        "mailable": report.mailable,
        "lacking": {use.said: lacks for use, lacks in report.lacking},
        "links": None if report.links is None else {
            "addresses": report.all_links,
            "asked": len(report.links),
            "dead": [e.destination.address for e in report.links if e.state in DEAD],
            "unknown": [e.destination.address for e in report.links if e.state == "unknown"],
        },
        "spam_scores": report.scores and {
            variant: score and {"score": score.score, "required": score.required,
                                "tests": list(score.tests)}
            for variant, score in report.scores.items()
        },
    }  # fmt: skip


def show(screen: Screen, report: Report) -> None:
    """The report for people."""
    stops, warns = report.of("stops"), report.of("warns")
    verdict = (
        f"{some(len(stops), 'finding stops', 'findings stop')} it" if stops
        else f"{some(len(warns), 'thing')} to look at" if warns else "nothing to mend"
    )  # fmt: skip
    screen.say((report.send.name, "bold"), ": ", (verdict, _style(stops, warns)))
    looked_at = _grid()
    for mark, title, said in _lines(report):
        looked_at.add_row(Text(*mark), Text(title), Text(said))
    screen.out.print(looked_at)
    for title, listed, style in (("Stops it", stops, "red"), ("Worth a look", warns, "yellow")):
        if listed:
            screen.say()
            screen.say((title, f"bold {style}"))
        for file, of_file in groupby(listed, key=lambda each: _by_place(each)[0]):
            screen.say("  ", (file, "bold"))
            lines = _grid()
            for each in of_file:
                lines.add_row(*_row(each))
            screen.out.print(lines)


def _grid() -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(min_width=5, justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    return grid


def _row(found: Finding) -> tuple[Text, Text]:
    line = _by_place(found)[1]
    said = Text(found.what)
    if found.hint:
        said.append(f"\n{found.hint}", "dim")
    return Text(str(line) if line else "", "cyan"), said


def _lines(report: Report) -> list[tuple[tuple[str, str], str, str]]:
    """What was looked at, and how that came out."""
    trial = [each for each in report.of("stops") if each.where == TRIAL]
    said = some(len(trial), "fault") if trial else "every variant and edition renders"
    lines = [(MARKS["stops" if trial else "good"], "Trial", said)]
    lines.append(_field_line(report))
    if report.links is None:
        lines.append((UNKNOWN, "Links", "not asked for"))
    else:
        lines.append(_link_line(report, report.links))
    lines.append(_spam_line(report))
    return lines


def _field_line(report: Report) -> tuple[tuple[str, str], str, str]:
    if not report.lacking:
        return MARKS["good"], "Fields", "the mails show no field of a supporter"
    parts = [
        f"{use.said} is lacked by {number(lacks) if lacks else 'nobody'}"
        + ("" if use.gap or not lacks else ", who read something else")
        for use, lacks in report.lacking
    ]
    gap = any(use.gap and lacks for use, lacks in report.lacking)
    mark = MARKS["warns" if gap else "good"]
    return mark, "Fields", f"of {some(report.mailable, 'person', 'people')}, {'; '.join(parts)}"


def _link_line(report: Report, asked: Sequence[Asked]) -> tuple[tuple[str, str], str, str]:
    dead = sum(each.state in DEAD for each in asked)
    unknown = sum(each.state == "unknown" for each in asked)
    if not asked:
        return MARKS["good"], "Links", "there are none"
    alive = len(asked) - dead - unknown
    said = f"{number(alive)} of {number(len(asked))} {'leads' if alive == 1 else 'lead'} somewhere"
    if unknown:
        said += f"; {number(unknown)} tell programs nothing: look yourself"
    if report.all_links > len(asked):
        said += f" ({number(report.all_links)} addresses in all; of areas some were asked for)"
    return MARKS["warns" if dead else "good"], "Links", said


def _spam_line(report: Report) -> tuple[tuple[str, str], str, str]:
    if report.scores is None:
        return UNKNOWN, "Spam score", "not asked for: the mails do not render"
    scores = {name: score for name, score in report.scores.items() if score is not None}
    if not scores:
        why = "gave none" if report.scores else "is not installed here"
        return UNKNOWN, "Spam score", f"SpamAssassin {why}"
    parts = [f"{name} {score.score:g} of {score.required:g}" for name, score in scores.items()]
    spam = any(score.spam for score in scores.values())
    return MARKS["warns" if spam else "good"], "Spam score", ", ".join(parts)


def _follow_links(report: Report, table: ProgrammeTable) -> None:
    found = destinations.destinations_of(table, report.send)
    report.all_links = len(found)
    report.links = destinations.ask_all(destinations.chosen(found))
    report.findings += destinations.of_links(report.links, f"sends/{report.send.name}.yaml")


def _score(report: Report, services: Services) -> None:
    """The spam score of each variant; nothing of what does not even render."""
    if any(each.where == TRIAL for each in report.findings):
        return
    report.scores = {}
    program = find_spamassassin()
    if program is None:
        return
    for variant in report.send.variants:
        question = {"send": report.send.name, "variant": variant.name}
        mail = str(services.post("renderer", "/ask/preview", question)["mail"])
        score = report.scores[variant.name] = spam_score(mail, program)
        if score is not None and score.spam:
            report.findings.append(
                Finding(
                    "warns", f"sends/{report.send.name}.yaml",
                    f"SpamAssassin gives variant {variant.name} {score.score:g} points, and from "
                    f"{score.required:g} on a mail is spam",
                    f"its tests that spoke: {', '.join(score.tests)}",
                )
            )  # fmt: skip


def _style(stops: Sequence[Finding], warns: Sequence[Finding]) -> str:
    return "bold red" if stops else "bold yellow" if warns else "bold green"


def told_at_launch(report: Report) -> Text:
    """One line for who is asked to approve."""
    warns = report.of("warns")
    if not warns:
        return Text("nothing to mend", "green")
    seen = f"{some(len(warns), 'thing')} to look at: doorstep send lint {report.send.name}"
    return Text(seen, "yellow")
