"""What is wrong or doubtful about one rendered mail, in words. Pure.

A finding that stops is about what no mail may go without; everything else is for the producer to
decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.renderer.lint.appearance import faint, looks
from services.renderer.lint.marking import Place
from services.renderer.lint.page import Page, read_page
from services.renderer.lint.styles import read_rules
from shared.programme.links import HIDDEN_LINK

GMAIL_CLIPS: Final = 102 * 1024
"""Bytes of HTML of which Gmail shows no more, without a click on "view entire message"."""

CLEARLY_LESS: Final = 0.5
"""Share of the HTML's words below which the text part says clearly less."""

_COLOUR_SCHEME: Final = re.compile(r"(?<![\w-])color-scheme\s*:\s*([^;}]+)", re.IGNORECASE)

Level = Literal["stops", "warns"]
_NO_PLACE: Final = Place("html", 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """`part`: "html", "text", "preheader" or the name of a partial; `line` 0: the part as a whole.
    `template` is filled in by who knows it.
    """

    level: Level
    part: str
    line: int
    what: str
    hint: str
    template: str = ""


def judge_size(html: str, owed: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Of an HTML part. `owed`: what no mail may go without, each with the words that show it."""
    content = html.encode()
    if len(content) <= GMAIL_CLIPS:
        return
    size, limit = f"{len(content) / 1024:.0f} KB", f"{GMAIL_CLIPS // 1024} KB"
    behind = [what for what, words in owed if content.rfind(words.encode()) > GMAIL_CLIPS]
    if behind:
        yield Finding(
            "stops", "html", 0,
            f"the HTML has {size}, and Gmail cuts it off at {limit}, before {' and '.join(behind)}",
            "say less, or move what no mail may go without to the beginning",
        )  # fmt: skip
    else:
        yield Finding(
            "warns", "html", 0, f"the HTML has {size}, and Gmail cuts it off at {limit}",
            "say less, or inline fewer styles",
        )  # fmt: skip


def judge_text(
    html: str, text: str, links: re.Pattern[str], hrefs: Sequence[str]
) -> Iterator[Finding]:
    """Of a text part beside the HTML part. `links` finds the numbers of links in both, and `hrefs`
    are their addresses: one that stands twice has two numbers.
    """
    page = read_page(html)
    shown = looks(page, read_rules("\n".join(page.styles)), "light")
    said = " ".join(each.text for each in page.elements if shown[each].shown).split()
    written = links.sub("", text).split()
    if len(written) < CLEARLY_LESS * len(said):
        yield Finding(
            "warns", "text", 0,
            f"the text part has {len(written)} words, and the HTML part has {len(said)}",
            "say the same in both: some people, and many filters, read only the text",
        )  # fmt: skip
    lost = _addresses(html, links, hrefs) - _addresses(text, links, hrefs)
    if lost:
        more = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
        yield Finding(
            "warns", "text", 0,
            f"the HTML part leads to {min(lost)}{more}, and the text part does not",
            "write the address into the text, on a line of its own",
        )  # fmt: skip
    if re.search(r"\n[ \t]*\n[ \t]*\n[ \t]*\n", text.replace("\r\n", "\n").strip()):
        yield Finding(
            "warns", "text", 0, "the text part has three empty lines in a row",
            "let {%- and -%} take away the line ends around blocks and conditions",
        )  # fmt: skip


def judge_page(html: str) -> Iterator[Finding]:
    """Of an HTML part with marks: contrast in both colour schemes, and what dark mode needs."""
    page = read_page(html)
    style = "\n".join(page.styles)
    rules = read_rules(style)
    light = looks(page, rules, "light")
    for each in faint(light):
        yield _faint(each.element.place, "", each.look.colour, each.look.ground, each.contrast,
                     each.look.wanted)  # fmt: skip
    if not (_can_be_dark(page, style) or "prefers-color-scheme" in style):
        place = _place_of(page, "head") or _place_of(page, "html") or _NO_PLACE
        yield Finding(
            "warns", place.part, place.line, "nothing says how the mail is to look in dark mode",
            'add <meta name="color-scheme" content="light dark"> to its <head>, and colours for '
            "@media (prefers-color-scheme: dark)",
        )  # fmt: skip
        told = set()
        for element, look in light.items():
            bare = look.shown and look.coloured and not look.grounded and element.text.strip()
            if bare and element.place not in told:
                told.add(element.place)
                place = element.place or _NO_PLACE
                yield Finding(
                    "warns", place.part, place.line,
                    f"the colour {look.colour or 'of the text'} has no background of its own",
                    "in dark mode it may stand on black: give a background to an element around it",
                )  # fmt: skip
        return
    dark = looks(page, rules, "dark", dark_canvas=_can_be_dark(page, style))
    for each in faint(dark):
        usual = light[each.element]
        if (usual.colour, usual.ground) == (each.look.colour, each.look.ground):
            continue  # it is told already
        yield _faint(each.element.place, "in dark mode ", each.look.colour, each.look.ground,
                     each.contrast, each.look.wanted)  # fmt: skip


def _faint(
    place: Place | None, when: str, colour: object, ground: object, ratio: float, wanted: float
) -> Finding:
    part, line = place or _NO_PLACE
    return Finding(
        "warns", part, line,
        f"{when}the text {colour} on {ground} has a contrast of {int(ratio * 10) / 10:.1f}, "
        f"and should have {wanted:g}",
        "choose a darker and a lighter colour (WCAG 2.2, 1.4.3)"
        + (", or a class with colours for dark mode" if when else ""),
    )  # fmt: skip


def _addresses(part: str, links: re.Pattern[str], hrefs: Sequence[str]) -> set[str]:
    numbers = {int(number) for number in links.findall(part)}
    return {hrefs[number] for number in numbers - {HIDDEN_LINK}}


def _can_be_dark(page: Page, style: str) -> bool:
    """Whether it says `color-scheme` of itself, in a meta or in its style."""
    said = [
        each.attributes.get("content", "") for each in page.elements
        if each.tag == "meta" and each.attributes.get("name", "").lower() == "color-scheme"
    ]  # fmt: skip
    said += _COLOUR_SCHEME.findall(style)
    return any("dark" in each.lower() for each in said)


def _place_of(page: Page, tag: str) -> Place | None:
    found = page.first(tag)
    return found.place if found is not None else None
