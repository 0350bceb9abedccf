"""Checks of a send against the segment, templates and areas it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from shared.programme.checks.template_sources import (
    Use,
    check_line,
    parts_of,
    path_of,
    uses_of,
)
from shared.programme.checks.wording import (
    bad_address,
    bad_slug,
    bad_word,
    refuses_replies,
    strange_action,
)
from shared.programme.definitions import Areas, Campaign, Send, Template
from shared.programme.findings import Catalogue, Finding
from shared.programme.problems import did_you_mean
from shared.programme.shapes import Path


def check_send(send: Send, catalogue: Catalogue) -> Iterator[Finding]:
    """Names, times and words of one send."""

    def finding(path: Path, wrong: tuple[str, str], *, warning: bool = False) -> Finding:
        field = f"`{path[-1]}`: " if isinstance(path[-1], str) else ""
        return Finding("send", send.name, path, field + wrong[0], wrong[1], warning)

    if wrong := catalogue.missing("segment", send.segment):
        yield finding(("segment",), wrong)
    if send.areas and (wrong := catalogue.missing("areas", send.areas)):
        yield finding(("areas",), wrong)
    yield from _check_topic(send, catalogue)
    if send.reply_to and (wrong := bad_address(send.reply_to)):
        yield finding(("reply_to",), wrong)
    elif refuses_replies(send.reply_to):
        words = ("it tells people not to answer", "use an address somebody reads")
        yield finding(("reply_to",), words, warning=True)
    for index, action in enumerate(send.unless_done):
        if wrong := bad_word(action):
            yield finding(("unless_done", index), wrong)
        elif wrong := strange_action(action):
            yield finding(("unless_done", index), wrong, warning=True)
    yield from _check_times(send)
    yield from _check_variants(send, catalogue)


def _check_topic(send: Send, catalogue: Catalogue) -> Iterator[Finding]:
    """Its name; and that people can leave it by itself, where the campaign lets them choose."""
    if wrong := bad_word(send.topic):
        yield Finding("send", send.name, ("topic",), f"`topic`: {wrong[0]}", wrong[1])
        return
    for each in catalogue.definitions.values():
        if isinstance(each, Campaign) and each.topics and send.topic not in each.topics:
            message = f'`topic`: "{send.topic}" is no topic that people can choose'
            near = did_you_mean(send.topic, each.topics)
            hint = near or "add it to `topics` in campaign.yaml, with words for the preference page"
            yield Finding("send", send.name, ("topic",), message, hint, warning=True)


def _check_times(send: Send) -> Iterator[Finding]:
    def finding(field: str, message: str, hint: str) -> Finding:
        return Finding("send", send.name, (field,), f"`{field}`: {message}", hint)

    for field in ("deadline", "until"):
        moment = getattr(send, field)
        if moment is not None and moment.tzinfo is None:
            yield finding(field, "no time zone", 'write "2026-05-07 21:30 Europe/London"')
            return
    if send.until and send.mode == "once":
        yield finding(
            "until",
            "only a send that goes on has an end",
            "add `mode: newly_qualifies`, or say `deadline:` if nothing may be sent after it",
        )
    elif send.until and send.deadline and send.deadline <= send.until:
        yield finding(
            "deadline",
            "it comes before `until`, so the last to qualify would never get their mail",
            "let the deadline be after `until`",
        )


def _check_variants(send: Send, catalogue: Catalogue) -> Iterator[Finding]:
    counts = Counter(variant.name for variant in send.variants)
    for index, variant in enumerate(send.variants):
        path: Path = ("variants", index)
        if wrong := bad_slug(variant.name):
            yield Finding("send", send.name, (*path, "name"), *wrong)
        if counts[variant.name] > 1:
            words = f'two variants are called "{variant.name}"', "give each its own name"
            yield Finding("send", send.name, (*path, "name"), *words)
        if "\n" in variant.from_name:
            words = "`from_name` has several lines", "write one line"
            yield Finding("send", send.name, (*path, "from_name"), *words)
        if variant.subject:
            yield from check_line("send", send.name, (*path, "subject"), variant.subject)
        if wrong := catalogue.missing("template", variant.template):
            yield Finding("send", send.name, (*path, "template"), *wrong)
            continue
        template = catalogue.find(Template, "template", variant.template)
        if template is not None:
            yield from _check_data(send, path, template, variant.subject, catalogue)


def _check_data(
    send: Send, path: Path, template: Template, subject: str, catalogue: Catalogue
) -> Iterator[Finding]:
    """Whether the send has what the template shows."""
    uses = uses_of(template, subject)
    if uses.deadline and send.deadline is None:
        yield Finding(
            "send",
            send.name,
            (*path, "template"),
            f'template "{template.name}" shows send.deadline ({uses.deadline}), '
            "and this send has none",
            "add `deadline:`, or use another template",
        )
    if uses.area and not send.areas:
        field, use = next(iter(uses.area.items()))
        yield Finding(
            "send",
            send.name,
            (*path, "template"),
            f'template "{template.name}" shows area.{field} ({use}), and this send names no areas',
            "add `areas:` with the name of an areas file",
        )
    areas = catalogue.find(Areas, "areas", send.areas)
    if uses.area and areas is not None:
        yield from _check_default(send, areas)
        for field, use in uses.area.items():
            yield from _check_area_field(areas, template, field, use)


def _check_default(send: Send, areas: Areas) -> Iterator[Finding]:
    if areas.default is None:
        message = f'`areas`: "{areas.name}" has no `default`: who is in none of its areas'
        yield Finding(
            "send",
            send.name,
            ("areas",),
            f"{message} gets no mail",
            "add `default:` to the areas file, or see that the segment asks for these areas only",
            warning=True,
        )


def _check_area_field(areas: Areas, template: Template, field: str, use: Use) -> Iterator[Finding]:
    """Every area must have what the template shows: a mail with a gap is refused."""
    everyone: dict[Path, dict[str, Any]] = {
        ("by_code", code): data for code, data in areas.by_code.items()
    }
    if areas.default is not None:
        everyone["default",] = areas.default
    lacking = [path for path, data in everyone.items() if field not in data]
    if lacking and len(lacking) == len(everyone):
        known = {name for data in everyone.values() for name in data}
        message = f'`area.{field}`: no area of "{areas.name}" has this field'
        hint = did_you_mean(field, known) or f"fields are: {', '.join(sorted(known))}"
        line = use.line if use.part in parts_of(template) else None
        path = path_of(use.part) if line else (use.part,)
        yield Finding("template", template.name, path, message, hint, line=line)
    elif lacking:
        message = f"`{field}` is missing for {_listed(lacking)}"
        hint = f'template "{template.name}" shows area.{field} ({use}): add it, '
        hint += f"or write {{{{ area.{field} | default(...) }}}} there"
        yield Finding("areas", areas.name, lacking[0], message, hint)


def _listed(paths: list[Path]) -> str:
    names = [str(path[-1]) for path in paths]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
