"""Numbers the links of a template, once and for all its mails.

Renderer and tracker both number by this room, so that link 3 of a template version is the same
link to both. An address may name the area, the send and the campaign, never the supporter:
personal data has no place in a URL. Addresses are looked up again at click time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from jinja2 import TemplateError

from shared.programme.definitions import Template
from shared.programme.html_links import Link, find_links
from shared.programme.jinja_masks import EXPRESSION, OPAQUE, STATEMENT, mask
from shared.programme.problems import did_you_mean
from shared.programme.template_language import (
    LINK_DATA,
    TRACKED,
    compiled,
    names_needed,
    parse,
)

HIDDEN_LINK: Final = 9_999
"""The number of the link that stands in every mail and that no person sees: whoever follows it
follows everything.
"""
TEXT_ENDING: Final = ".txt.j2"
"""Partials so called belong to the text part; all others to the HTML part."""

_NOT_WEB: Final = ("mailto:", "tel:", "#")
_OUR_OWN: Final = re.compile(r"\{\{[-+]?\s*(unsubscribe_url|preferences_url)\s*(\|[^}]*)?[-+]?\}\}")
_BARE_URL: Final = re.compile(
    rf"\bhttps?://[^\s<>\"{STATEMENT}{OPAQUE}]+|{EXPRESSION}+", re.IGNORECASE
)
_EXPRESSION: Final = re.compile(r"\{\{[-+]?\s*(.*?)\s*[-+]?\}\}", re.DOTALL)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_WEB: Final = re.compile(r"https?://.", re.IGNORECASE)
_OPENS_CONDITION: Final = re.compile(r"\{%[-+]?\s*(if|for)\b")
_SAFE_IN_URL: Final = "%/:=&?~#+!$,;'@()*[]"


class LinkProblem(NamedTuple):
    """A link that cannot be used. `part`: "html", "text" or the name of a partial."""

    part: str
    line: int
    message: str
    hint: str


class BadLinks(ValueError):
    """A template whose links cannot be numbered; `problems` holds all of them."""

    def __init__(self, problems: tuple[LinkProblem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{p.part}, line {p.line}: {p.message}" for p in problems))


class BadDestination(ValueError):
    """An address that nobody should be sent to, or that cannot be made."""


@dataclass(frozen=True, slots=True)
class NumberedTemplate:
    """The sources with `{{ tracked(N) }}` for each link, and the address sources by N."""

    html: str
    text: str
    partials: dict[str, str]
    hrefs: tuple[str, ...]


def number_links(html_source: str) -> tuple[str, tuple[str, ...]]:
    """Each `<a href>` replaced by `{{ tracked(N) }}`, and the hrefs by N, from 0.

    Left alone: mailto:, tel:, `#...`, `{{ unsubscribe_url }}`, `{{ preferences_url }}`, empty ones,
    and links marked `data-notrack`. The hrefs are Jinja source without HTML escapes. Nothing is
    checked.
    """
    return _number_html(html_source, ())


def tracked_text(text_source: str, hrefs: tuple[str, ...] = ()) -> tuple[str, tuple[str, ...]]:
    """Each bare address of a text source replaced likewise, and the hrefs with new ones added.

    An address that stands among `hrefs` keeps its first number. So does an expression alone, like
    `{{ area.page }}`, when it is the whole of a known href.
    """
    numbers = {_spelled(href): number for number, href in reversed(list(enumerate(hrefs)))}
    pieces: list[str] = []
    at = 0
    for start, end, is_url in _bare_addresses(text_source):
        href = text_source[start:end]
        key = _spelled(href)
        if key not in numbers:
            if not is_url or _OUR_OWN.fullmatch(href):
                continue
            numbers[key] = len(hrefs)
            hrefs = (*hrefs, href)
        pieces += [text_source[at:start], f"{{{{ {TRACKED}({numbers[key]}) }}}}"]
        at = end
    return "".join(pieces) + text_source[at:], hrefs


def number_template(template: Template) -> NumberedTemplate:
    """Every link of a template numbered: the HTML part, its partials by name, then the text part
    and its partials. Raises BadLinks.
    """
    problems = tuple(link_problems(template))
    if problems:
        raise BadLinks(problems)
    partials: dict[str, str] = {}
    html, hrefs = _number_html(template.html, ())
    for name in sorted(template.partials):
        if not name.endswith(TEXT_ENDING):
            partials[name], hrefs = _number_html(template.partials[name], hrefs)
    text, hrefs = tracked_text(template.text, hrefs)
    for name in sorted(template.partials):
        if name.endswith(TEXT_ENDING):
            partials[name], hrefs = tracked_text(template.partials[name], hrefs)
    return NumberedTemplate(html, text, partials, hrefs)


def link_problems(template: Template) -> Iterator[LinkProblem]:
    """What is wrong with the links of a template, part by part."""
    parts = {"html": template.html, "text": template.text, **template.partials}
    for part, source in parts.items():
        is_text = part == "text" or part.endswith(TEXT_ENDING)
        for start, message, hint in _text_problems(source) if is_text else _html_problems(source):
            yield LinkProblem(part, source.count("\n", 0, start) + 1, message, hint)


def destination(href_source: str, context: Mapping[str, Any]) -> str:
    """The address behind a link for one area, send and campaign, fit for a Location header.

    Raises BadDestination unless it is a plain http or https address with a host; addresses in
    other scripts and spaces are percent-encoded.
    """
    try:
        address = compiled(href_source).render({k: v for k, v in context.items() if k in LINK_DATA})
    except TemplateError as error:
        raise BadDestination(f"the address cannot be made: {error.message}") from error
    except Exception as error:
        raise BadDestination(f"the address cannot be made: {error}") from error
    address = address.strip(" ")
    if any(ord(character) < 32 or ord(character) == 127 for character in address):
        raise BadDestination("a line end or control character in the address")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        ascii_host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except ValueError as error:
        raise BadDestination("not an address of the web") from error
    if parts.scheme.lower() not in ("http", "https") or "@" in parts.netloc:
        raise BadDestination("not an http or https address")
    if not _HOST.fullmatch(ascii_host):
        raise BadDestination("an address without a proper host")
    rest = address[address.index("//") + 2 + len(parts.netloc) :]
    netloc = ascii_host if port is None else f"{ascii_host}:{port}"
    return f"{parts.scheme.lower()}://{netloc}{quote(rest, safe=_SAFE_IN_URL)}"


def _number_html(source: str, hrefs: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    pieces: list[str] = []
    at = 0
    for link in find_links(source):
        if _is_tracked(link):
            pieces += [source[at : link.start], f'"{{{{ {TRACKED}({len(hrefs)}) }}}}"']
            hrefs = (*hrefs, link.href)
            at = link.end
    return "".join(pieces) + source[at:], hrefs


def _is_tracked(link: Link) -> bool:
    return _is_web(link) and not link.marked_untracked


def _is_web(link: Link) -> bool:
    """Whether a browser would go somewhere by it that is not ours to provide."""
    special = link.href.lower().startswith(_NOT_WEB) or _OUR_OWN.fullmatch(link.href)
    return bool(link.href) and not special


def _html_problems(source: str) -> Iterator[tuple[int, str, str]]:
    for link in find_links(source):
        if _is_web(link):
            allowed = None if link.marked_untracked else LINK_DATA
            if wrong := _wrong_with(link.href, allowed):
                yield (link.start, *wrong)


def _text_problems(source: str) -> Iterator[tuple[int, str, str]]:
    for start, end, is_url in _bare_addresses(source):
        if is_url and (wrong := _wrong_with(source[start:end], LINK_DATA)):
            yield (start, *wrong)
        elif is_url and _OPENS_CONDITION.match(source, end):
            message = "a condition inside of an address"
            yield start, message, "write the whole address twice, in {% if %} and in {% else %}"


def _bare_addresses(source: str) -> Iterator[tuple[int, int, bool]]:
    """Start and end of each bare URL, and (is_url False) of each expression that stands alone."""
    masked = mask(source)
    for found in _BARE_URL.finditer(masked):
        start, text = found.start(), found[0]
        if text[0] != EXPRESSION:
            yield start, start + len(_without_punctuation(text)), True
        else:
            before, after = masked[start - 1 : start], masked[found.end() : found.end() + 1]
            if not re.match(r"[\w/.@=-]", before) and not re.match(r"[\w/?#&=@%-]", after):
                yield start, found.end(), False


def _without_punctuation(url: str) -> str:
    """A URL in running text less the signs of the sentence around it."""
    opening = {")": "(", "]": "["}
    while url[-1] in ".,;:!?'" or url.count(url[-1]) > url.count(opening.get(url[-1], url[-1])):
        url = url[:-1]
    return url


def _spelled(href: str) -> str:
    """One spelling for the white space inside of expressions."""
    return _EXPRESSION.sub(r"{{\1}}", href)


def _wrong_with(href: str, allowed: frozenset[str] | None) -> tuple[str, str] | None:
    """Message and hint for an address that may not be used, else None.

    `allowed` None: the link is not looked up again, so any name but the supporter's will do.
    """
    try:
        names = names_needed(parse(href))
    except TemplateError as error:
        return f"the address cannot be read: {error.message}", "mend the {{ }} or {% %} inside"
    if "supporter" in names:
        return (
            "the address holds data about the supporter, which must not be in a URL",
            "use area., send. or campaign. only; the link itself says who clicked",
        )
    others = sorted(set(names) - allowed) if allowed is not None else []
    if others:
        return (
            f"the address uses `{others[0]}`, which is not known any more when it is clicked",
            did_you_mean(others[0], LINK_DATA)
            or "use area., send. and campaign. only; in loops and macros, an <a data-notrack> in "
            "HTML, and an expression that is the whole address in text",
        )
    masked = mask(href)
    if masked[0] not in (EXPRESSION, STATEMENT) and not _WEB.match(masked):
        return (
            f'the address "{href}" does not begin with https://',
            "write the whole address (or mailto:, tel:, #...)",
        )
    return None
