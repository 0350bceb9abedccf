"""Checks of a source as mail programs see it: images, links that are not https, and plain text that
reads well. All of it is doubtful, never wrong: a mail with it can be sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shared.programme.checks.template_sources import Flaw
from shared.programme.html_links import WrittenTag, written_tags
from shared.programme.jinja_masks import EXPRESSION, OPAQUE, STATEMENT, mask

LONGEST_LINE: Final = 78
"""Characters of a line of text that every mail program shows unbroken (RFC 5322, 2.1.1)."""

_JINJA: Final = re.compile(f"[{EXPRESSION}{STATEMENT}{OPAQUE}]+")
_TAG: Final = re.compile(
    r"</?(?:p|br|div|span|a|b|i|em|strong|table|tr|td|ul|ol|li|h[1-6])\b[^>]*>"
)
_ENTITY: Final = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|rsquo|ldquo|rdquo|ndash|mdash|#\d+);")
_PLAIN_HTTP: Final = re.compile(r"\bhttp://[^\s<>\"']+", re.IGNORECASE)
_HTTPS: Final = "https://"


def page_flaws(source: str) -> Iterator[Flaw]:
    """Of a source of the HTML part."""
    for tag in written_tags(source):
        line = source.count("\n", 0, tag.name_end) + 1
        if tag.name == "img":
            yield from (_doubt(*words, line) for words in _image(tag))
        elif tag.name == "a" and tag.attributes.get("href", "").lower().startswith("http://"):
            yield _doubt(*_not_https(tag.attributes["href"]), line)


def text_flaws(source: str) -> Iterator[Flaw]:
    """Of a source of the text part."""
    long: list[int] = []
    for number, line in enumerate(mask(source).split("\n"), 1):
        if found := _TAG.search(line) or _ENTITY.search(line):
            yield _doubt(
                f"{found[0]} stands in the text part, where it is shown as it is",
                "write the text alone", number,
            )  # fmt: skip
        if found := _PLAIN_HTTP.search(line):
            yield _doubt(*_not_https(_JINJA.sub("...", found[0].rstrip(".,;:!?)"))), number)
        said = _JINJA.sub("", line).strip()
        if len(said) > LONGEST_LINE and " " in said:
            long.append(number)
    if long:
        many = len(long)
        lines = "1 line of the text part is" if many == 1 else f"{many} lines of the text part are"
        yield _doubt(
            f"{lines} longer than {LONGEST_LINE} characters",
            "break the lines of the text part: some mail programs break them anywhere", long[0],
        )  # fmt: skip


def _image(tag: WrittenTag) -> Iterator[tuple[str, str]]:
    """What is doubtful about an image."""
    known, style = tag.attributes, tag.attributes.get("style", "")
    if "alt" not in known:
        yield (
            "an image without `alt`",
            'say what it shows, for who cannot see it: alt="..."; alt="" if it only decorates',
        )
    if not all(side in known or f"{side}:" in style.replace(" ", "") for side in _SIDES):
        yield (
            "an image without its size",
            'write width="..." and height="...": until it has loaded, the text jumps',
        )
    src = known.get("src", "").strip().lower()
    if src.startswith("http://"):
        yield "an image that is not fetched by https", "most mail programs do not show it"
    elif src.startswith("data:"):
        yield "an image inside of its own address", "Gmail shows none: put it on a web server"
    elif not src.startswith((_HTTPS, "{{", "{%")):
        yield (
            "an image without a whole address",
            'a mail has no folder beside it: write src="https://..."',
        )


_SIDES: Final = ("width", "height")


def _not_https(address: str) -> tuple[str, str]:
    return f"the link {address} is not https", "write https://: browsers warn of anything else"


def _doubt(message: str, hint: str, line: int) -> Flaw:
    return Flaw(message, hint, line, warning=True)
