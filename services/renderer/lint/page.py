"""A rendered HTML part as a tree of elements, each with its own text and where it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

from services.renderer.lint.marking import MARK, Place, read_mark

_VOID: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_CLOSES_ITSELF: Final = frozenset({"p", "li", "td", "th", "tr", "option", "dt", "dd"})
"""Elements that another of their kind ends."""


@dataclass(slots=True, eq=False)
class Element:
    """`text` is what stands in it directly, not in its children."""

    tag: str
    attributes: Mapping[str, str]
    parent: Element | None = None
    place: Place | None = None
    text: str = ""
    classes: frozenset[str] = frozenset()

    def ancestors(self) -> Iterator[Element]:
        """Itself first, the root last."""
        element: Element | None = self
        while element is not None:
            yield element
            element = element.parent


@dataclass(slots=True)
class Page:
    """Elements in order; `styles` are the texts of all `<style>`."""

    elements: list[Element] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)

    def first(self, tag: str) -> Element | None:
        return next((each for each in self.elements if each.tag == tag), None)


def read_page(html: str) -> Page:
    """Comments, and with them what only Outlook sees, are no part of it."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._open: Element | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in reversed(attrs)}
        if tag in _CLOSES_ITSELF and self._open is not None and self._open.tag == tag:
            self._open = self._open.parent
        parent = self._open
        place = read_mark(known.get(MARK)) or (parent.place if parent else None)
        classes = frozenset(known.get("class", "").split())
        element = Element(tag, known, parent, place, classes=classes)
        self.page.elements.append(element)
        if tag not in _VOID:
            self._open = element

    def handle_endtag(self, tag: str) -> None:
        around = self._open.ancestors() if self._open is not None else iter(())
        closed = next((each for each in around if each.tag == tag), None)
        if closed is not None:
            self._open = closed.parent

    def handle_data(self, data: str) -> None:
        if self._open is None:
            return
        if self._open.tag == "style":
            self.page.styles.append(data)
        else:
            self._open.text += data
