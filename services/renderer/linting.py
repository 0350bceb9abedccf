"""Lint of a send's mails before it is approved: each variant rendered, and looked at.

The trial renders everything, to see that nobody is refused; this looks closely at a few of the
same mails, in the edition with the most to say and in the one for everybody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from services.renderer.book import Book
from services.renderer.lint.judging import Finding, judge_page, judge_size, judge_text
from services.renderer.lint.marking import marked
from services.renderer.preparing import prepare
from services.renderer.previewing import body_of, inert, read_mail, sample
from services.renderer.rendering import Signing, render
from services.renderer.template_faults import TemplateFault
from services.renderer.templates import CompiledTemplate
from services.renderer.trial import SAMPLES
from shared.programme.definitions import Areas, Campaign, Send, Template
from shared.programme.links import number_template

_DATE: Final = "Mon, 04 May 2026 09:00:00 +0000"
_SOMEBODY: Final = SAMPLES["somebody"]


class _Bodies(NamedTuple):
    """Both bodies of a mail, what they must show, and what finds the numbers of their links."""

    html: str
    text: str
    owed: Sequence[tuple[str, str]]
    links: re.Pattern[str]


def lint(book: Book, send_name: str, signing: Signing) -> list[Finding]:
    """What is found in the mails of a send, newest versions, each once. What cannot be rendered is
    left to the trial. Raises RetryLater while a definition has not arrived.
    """
    send, campaign = book.send(send_name), book.campaign()
    areas = book.areas(send.areas) if send.areas else None
    found: dict[Finding, None] = {}
    for number, variant in enumerate(send.variants):
        template = book.template(variant.template)
        each = _lint_variant(send, number, campaign, template, editions_to_look_at(areas), signing)
        found |= dict.fromkeys(replace(one, template=template.name) for one in each)
    return list(found)


def editions_to_look_at(areas: Areas | None) -> dict[str, Mapping[str, Any]]:
    """Area data by edition: of the area with the most to say, and of people without one."""
    if areas is None:
        return {"": {}}
    found: dict[str, Mapping[str, Any]] = {}
    if areas.by_code:
        longest = max(areas.by_code, key=lambda code: len(str(areas.by_code[code])))
        found[longest] = areas.by_code[longest]
    if areas.default is not None:
        found[""] = areas.default
    return found


def _lint_variant(
    send: Send,
    number: int,
    campaign: Campaign,
    template: Template,
    editions: Mapping[str, Mapping[str, Any]],
    signing: Signing,
) -> Iterator[Finding]:
    if not template.preheader.strip():
        yield Finding(
            "warns", "preheader", 0, "there is no preheader",
            "write one: beside the subject, mail programs show the first words of the mail instead",
        )  # fmt: skip
    for edition, area in editions.items():
        plain = _bodies(send, number, campaign, template, (edition, area), signing)
        if plain is None:
            continue
        yield from judge_size(plain.html, plain.owed)
        hrefs = number_template(template).hrefs
        yield from judge_text(plain.html, plain.text, plain.links, hrefs)
        with_marks = _bodies(send, number, campaign, marked(template), (edition, area), signing)
        if with_marks is not None:
            yield from judge_page(with_marks.html)


def _bodies(
    send: Send,
    number: int,
    campaign: Campaign,
    template: Template,
    edition: tuple[str, Mapping[str, Any]],
    signing: Signing,
) -> _Bodies | None:
    """None for a mail that is refused."""
    harmless = inert(signing)
    try:
        prepared = prepare(send, number, campaign, CompiledTemplate(template))
    except TemplateFault:
        return None
    recipient = sample(send, send.variants[number].name, *edition, _SOMEBODY)
    entry = render(recipient, prepared, harmless, _DATE)
    if entry.mail is None:
        return None
    message = read_mail(entry.mail)
    owed = (
        ("the way out", f"{harmless.tracking_url}/u/"),
        ("the disclaimer", str(prepared.disclaimer.html)),
    )
    html, text = body_of(message, "html"), body_of(message, "plain")
    return _Bodies(html, text, owed, _link_pattern(harmless))


def _link_pattern(signing: Signing) -> re.Pattern[str]:
    """Finds tracked links; the group is the number."""
    return re.compile(re.escape(f"{signing.tracking_url}/c/") + r"[A-Za-z0-9_-]+/(\d+)")
