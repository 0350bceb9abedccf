"""Finds the tags of an HTML source that may hold Jinja, and its links: every `href` of every `<a>`.

Scans as browsers do (the tokenizer of the HTML standard, section 13.2.5), so that comments, and
with them Outlook's conditional markup, scripts, `<area>` and VML are never taken for links.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.entities import html5
from typing import Final

from shared.programme.jinja_masks import EXPRESSION, OPAQUE, STATEMENT, mask

_SPACE: Final = " \t\n\r\f"
_MARKUP: Final = re.compile(
    r"<(?:(?P<comment>!--)|(?P<end>/(?=[A-Za-z]))|(?P<bogus>[!?/])|(?=[A-Za-z]))"
)
_COMMENT_END: Final = re.compile(r"--!?>")
_TAG_NAME: Final = re.compile(rf"[^{_SPACE}/>{STATEMENT}{EXPRESSION}]+")
_BETWEEN: Final = re.compile(rf"[{_SPACE}/{STATEMENT}{OPAQUE}]*")
_ATTRIBUTE_NAME: Final = re.compile(rf"=?[^{_SPACE}/>={STATEMENT}]*")
_EQUALS: Final = re.compile(rf"[{_SPACE}]*=[{_SPACE}]*")
_UNQUOTED: Final = re.compile(rf"[^{_SPACE}>]*")
_TEXT_ONLY: Final = frozenset(
    {"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"}
)
_JINJA: Final = re.compile(f"{EXPRESSION}+|{STATEMENT}+|{OPAQUE}+")
_REFERENCE: Final = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]*;?)")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a tag. `start` and `end` enclose the value with its quotes."""

    name: str
    start: int
    end: int
    value_start: int
    value_end: int


@dataclass(frozen=True, slots=True)
class Link:
    """One `href` of an `<a>`: where its value stands (quotes included), and the value as Jinja
    source, without HTML escapes and outer white space. `marked_untracked`: has data-notrack.
    """

    start: int
    end: int
    href: str
    marked_untracked: bool


@dataclass(frozen=True, slots=True)
class Tag:
    """One complete start tag of a masked source; its name in lower case, and where the name and the
    tag end.
    """

    name: str
    name_end: int
    end: int
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class WrittenTag:
    """One start tag: its name, the offset behind its name, and its attributes as they are written,
    Jinja and HTML escapes left in. A name that stands twice counts once, the first time.
    """

    name: str
    name_end: int
    attributes: Mapping[str, str]


def written_tags(source: str) -> Iterator[WrittenTag]:
    """Every complete start tag in order, but for what stands in comments, scripts and styles."""
    for tag in find_tags(mask(source)):
        written = {
            each.name: source[each.value_start : each.value_end] for each in tag.attributes[::-1]
        }
        yield WrittenTag(tag.name, tag.name_end, written)


def find_links(source: str) -> Iterator[Link]:
    """Every link in order, tracked or not."""
    masked = mask(source)
    for attributes in (tag.attributes for tag in find_tags(masked) if tag.name == "a"):
        untracked = any(each.name == "data-notrack" for each in attributes)
        for each in attributes:
            if each.name == "href" and each.end > each.start:
                value = slice(each.value_start, each.value_end)
                href = _unescaped(source[value], masked[value])
                yield Link(each.start, each.end, href, untracked)


def find_tags(masked: str) -> Iterator[Tag]:
    """Every complete start tag of a masked source, in order."""
    at = 0
    while opening := _MARKUP.search(masked, at):
        at = opening.end()
        if opening["comment"]:
            at = _after_comment(masked, at)
        elif opening["bogus"]:
            at = _after(masked, ">", at)
        else:
            found = _TAG_NAME.match(masked, at)
            assert found is not None
            name = "" if opening["end"] else found[0].lower()
            attributes, at = _attributes(masked, found.end())
            if name and attributes is not None:
                yield Tag(name, found.end(), at, tuple(attributes))
            if name in _TEXT_ONLY:
                at = _end_of_text_only(masked, name, at)


def _after_comment(masked: str, at: int) -> int:
    if masked.startswith((">", "->"), at):
        return masked.index(">", at) + 1
    end = _COMMENT_END.search(masked, at)
    return end.end() if end else len(masked)


def _end_of_text_only(masked: str, name: str, at: int) -> int:
    closing = re.compile(rf"</{name}(?=[{_SPACE}/>])", re.IGNORECASE).search(masked, at)
    return closing.start() if closing else len(masked)


def _after(masked: str, sign: str, at: int) -> int:
    end = masked.find(sign, at)
    return end + 1 if end >= 0 else len(masked)


def _attributes(masked: str, at: int) -> tuple[list[Attribute] | None, int]:
    """The attributes up to the end of the tag and the place after it; None if it never ends."""
    attributes: list[Attribute] = []
    while True:
        between = _BETWEEN.match(masked, at)
        at = between.end() if between else at
        if at >= len(masked):
            return None, at
        if masked[at] == ">":
            return attributes, at + 1
        name = _ATTRIBUTE_NAME.match(masked, at)
        assert name is not None
        at = name.end()
        start = end = value_start = value_end = at
        if equals := _EQUALS.match(masked, at):
            start, end, value_start, value_end = _value(masked, equals.end())
            if end < 0:
                return None, len(masked)
            at = end
        attributes.append(Attribute(name[0].lower(), start, end, value_start, value_end))


def _value(masked: str, start: int) -> tuple[int, int, int, int]:
    """Start and end of a value with its quotes, then without; end -1 if a quote never closes."""
    quote = masked[start : start + 1]
    if quote and quote in "\"'":
        closing = masked.find(quote, start + 1)
        return start, closing + 1 if closing >= 0 else -1, start + 1, closing
    unquoted = _UNQUOTED.match(masked, start)
    end = unquoted.end() if unquoted else start
    return start, end, start, end


def _unescaped(value: str, masked: str) -> str:
    """The value as Jinja source: character references resolved outside of Jinja parts, tabs and
    line ends dropped as browsers drop them in addresses, outer white space too.
    """
    pieces: list[str] = []
    at = 0
    for part in _JINJA.finditer(masked):
        pieces += [_plain(value[at : part.start()]), value[part.start() : part.end()]]
        at = part.end()
    pieces.append(_plain(value[at:]))
    return "".join(pieces).strip(_SPACE)


def _plain(text: str) -> str:
    def resolved(match: re.Match[str]) -> str:
        reference, following = match[0], text[match.end() : match.end() + 1]
        # In attributes `&copy=1` and `&copyright` hold no sign (HTML standard, 13.2.5.73).
        if not reference.startswith("&#") and (
            reference[1:] not in html5 or (following == "=" and not reference.endswith(";"))
        ):
            return reference
        return html.unescape(reference)

    return re.sub(r"[\t\r\n]", "", _REFERENCE.sub(resolved, text))
