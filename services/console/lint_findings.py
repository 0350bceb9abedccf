"""What lint finds about a send, from everybody who knows a part of it. Pure.

Definitions are judged as they stand on the programme topic; rendered mails by the renderer; who
lacks what by the segmenter; links and spam score by this machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from services.console.programme_topic import ProgrammeTable
from services.console.screen import number
from shared.programme import findings
from shared.programme.checking import check_definition
from shared.programme.definitions import Definition, Send, Template
from shared.programme.findings import catalogue_of
from shared.programme.merge_fields import Shown, fields_shown
from shared.programme.versions import from_wire

TRIAL: Final = "trial render"
"""Where a fault of the trial render is: it names variant, edition, template and line itself."""

Level = Literal["stops", "warns"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`where`: the file as the programme's folder calls it, with a line where it is known."""

    level: Level
    where: str
    what: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FieldUse:
    """A field of a supporter in the mails of a send: the first place that shows it with nothing to
    stand in for it, else just the first.
    """

    shown: Shown
    template: str

    @property
    def name(self) -> str:
        return self.shown.name

    @property
    def said(self) -> str:
        return f"supporter.{'attributes.' if self.shown.attribute else ''}{self.shown.name}"

    @property
    def gap(self) -> bool:
        """Whether somebody who lacks it would see, or get, nothing."""
        only = self.shown.default_only and not self.shown.attribute
        return self.shown.bare or only


def file_of(template: str, part: str) -> str:
    """The file of a part of a template."""
    match part:
        case "html" | "text":
            return f"templates/{template}/mail.{'html' if part == 'html' else 'txt'}.j2"
        case "subject" | "preheader" | "":
            return f"templates/{template}/template.yaml"
        case _:
            return f"templates/_shared/{part}"


def place(template: str, part: str, line: int | None) -> str:
    """File and line; no line for a part as a whole."""
    file = file_of(template, part)
    return f"{file}:{line}" if line and not file.endswith(".yaml") else file


def of_trial(answer: Mapping[str, Any]) -> list[Finding]:
    """From the renderer's answer to `/ask/trial`."""
    found = [Finding("stops", TRIAL, str(fault)) for fault in answer["faults"]]
    found += [
        Finding(
            "stops" if each["level"] == "stops" else "warns",
            place(str(each["template"]), str(each["part"]), int(each["line"])),
            str(each["what"]), str(each["hint"]),
        )
        for each in answer.get("findings", ())
    ]  # fmt: skip
    return found


def of_definitions(table: ProgrammeTable, send: Send) -> list[Finding]:
    """What the checks of the programme say of the send and of all it is made of."""
    models = [from_wire(each) for each in table.newest.values()]
    catalogue = catalogue_of(models)
    wanted = {("send", send.name), ("segment", send.segment), ("areas", send.areas)}
    wanted |= {("template", variant.template) for variant in send.variants}
    found: dict[Finding, None] = {}
    for model in models:
        if findings.key_of(model) in wanted or findings.key_of(model)[0] == "campaign":
            found |= dict.fromkeys(_converted(each) for each in _checked(model, catalogue))
    return list(found)


def field_uses(table: ProgrammeTable, send: Send) -> list[FieldUse]:
    """Each field that the mails of a send show, once."""
    found: dict[tuple[str, bool], FieldUse] = {}
    for variant in send.variants:
        template = table.template(variant.template)
        for shown in fields_shown(template, variant.subject) if template is not None else ():
            use, key = FieldUse(shown, variant.template), (shown.name, shown.attribute)
            known = found.get(key)
            if known is None or (use.gap and not known.gap):
                found[key] = use
    return [found[key] for key in sorted(found)]


def lacking_question(uses: Iterable[FieldUse]) -> dict[str, list[str]]:
    """What the segmenter is asked about them."""
    fields: list[str] = []
    attributes: list[str] = []
    for use in uses:
        (attributes if use.shown.attribute else fields).append(use.name)
    return {"fields": fields, "attributes": attributes}


def counts_lacking(
    uses: Sequence[FieldUse], answer: Mapping[str, Any]
) -> list[tuple[FieldUse, int]]:
    """How many lack each, by the segmenter's answer to `/ask/lacking`."""
    return [
        (use, int(answer["attributes" if use.shown.attribute else "fields"].get(use.name, 0)))
        for use in uses
    ]


def of_lacking(counted: Iterable[tuple[FieldUse, int]], mailable: int) -> Iterator[Finding]:
    """Where somebody would see a gap, or get no mail at all."""
    for use, lacks in counted:
        if not lacks or not use.gap:
            continue
        where = place(use.template, use.shown.part, use.shown.line)
        many = f"{number(lacks)} of {number(mailable)} lack it"
        if use.shown.attribute:
            yield Finding(
                "stops", where, f"{use.said}: {many}, and would get no mail",
                f"say something else for them: {{{{ {use.said} | default(...) }}}}",
            )  # fmt: skip
        elif use.shown.default_only:
            yield Finding(
                "warns", where, f"{use.said}: {many}, and default(...) does nothing for them",
                f'what is empty is not undefined: {{{{ {use.said} or "..." }}}}',
            )  # fmt: skip
        else:
            yield Finding(
                "warns", where, f"{use.said}: {many}, and would read a gap there",
                f'say something else for them: {{{{ {use.said} or "..." }}}}',
            )  # fmt: skip


def without_doubles(found: Iterable[Finding]) -> list[Finding]:
    """Each once, and no doubt about a place about which something with a number is known."""
    listed = list(dict.fromkeys(found))
    counted = {(each.where, each.what.partition(":")[0]) for each in listed if " of " in each.what}
    return [
        each for each in listed
        if not each.what.endswith(_GETS_NO_MAIL)
        or (each.where, each.what.partition(":")[0].strip("`")) not in counted
    ]  # fmt: skip


_GETS_NO_MAIL: Final = "people without it get no mail"


def _checked(model: Definition, catalogue: findings.Catalogue) -> Iterator[findings.Finding]:
    if isinstance(model, Template):
        catalogue = findings.Catalogue(
            catalogue.definitions, catalogue.also_there, frozenset(model.partials)
        )
    return check_definition(model, catalogue)


def _converted(found: findings.Finding) -> Finding:
    match found.kind:
        case "template":
            part = str(found.path[-1]) if found.path else ""
            where = place(found.name, part, found.line)
        case "campaign":
            where = "campaign.yaml"
        case "areas":
            where = f"areas/{found.name}.yaml"
        case _:
            where = f"{found.kind}s/{found.name}.yaml"
    return Finding("warns" if found.warning else "stops", where, found.message, found.hint)
