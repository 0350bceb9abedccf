"""How the text of a page appears: its colour, the ground it stands on, its size. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.renderer.lint.colours import BLACK, WHITE, Colour, contrast, read_colour
from services.renderer.lint.page import Element, Page
from services.renderer.lint.styles import Rule, Scheme, own_style

ENOUGH: Final = 4.5
ENOUGH_FOR_LARGE: Final = 3.0
"""Contrast that text needs (WCAG 2.2, success criterion 1.4.3)."""

DARK_CANVAS: Final = Colour(0x12, 0x12, 0x12)
"""What browsers put behind a page that has no ground of its own and says it can be dark."""

_LARGE_PX: Final = 24.0
_LARGE_BOLD_PX: Final = 18.66
_USUAL_PX: Final = 16.0
_SIZE: Final = re.compile(r"([\d.]+)(px|pt|em|rem|%)?")
_SEES_THROUGH: Final = frozenset({"", "none", "transparent", "inherit", "initial", "unset"})
_PICTURE: Final = re.compile(r"url\(|gradient\(", re.IGNORECASE)
_WORDS: Final = re.compile(r"[^\s(]+(?:\([^)]*\))?")
_BOLD: Final = frozenset({"b", "strong", "th", "h1", "h2", "h3", "h4", "h5", "h6"})
_HEADINGS: Final = {"h1": 2.0, "h2": 1.5, "h3": 1.17}
_NOT_SHOWN: Final = frozenset({"head", "title", "style", "script"})
_NOTHING: Final = frozenset({"0", "0px"})
_HIDES: Final[Mapping[str, frozenset[str]]] = {
    "display": frozenset({"none"}), "visibility": frozenset({"hidden"}),
    "opacity": frozenset({"0"}), "max-height": _NOTHING, "font-size": _NOTHING | {"1px"},
}  # fmt: skip
"""How mails hide their preheader."""


@dataclass(frozen=True, slots=True)
class Look:
    """`colour` or `ground` None: nobody can say. `grounded`: an element around it has a ground.
    `coloured`: somebody chose the colour.
    """

    colour: Colour | None
    ground: Colour | None
    grounded: bool
    coloured: bool
    size_px: float
    bold: bool
    shown: bool

    @property
    def wanted(self) -> float:
        """The contrast it needs."""
        large = self.size_px >= (_LARGE_BOLD_PX if self.bold else _LARGE_PX)
        return ENOUGH_FOR_LARGE if large else ENOUGH


class Faint(NamedTuple):
    """Text that is hard to read."""

    element: Element
    look: Look
    contrast: float


def looks(
    page: Page, rules: Iterable[Rule], scheme: Scheme, *, dark_canvas: bool = False
) -> dict[Element, Look]:
    """Every element of the page in a colour scheme. `dark_canvas`: the page says `color-scheme`, so
    that in dark mode what has no colours of its own is white on dark.
    """
    kept = tuple(rules)
    dark = scheme == "dark" and dark_canvas
    canvas = Look(
        WHITE if dark else BLACK, DARK_CANVAS if dark else WHITE, grounded=False, coloured=False,
        size_px=_USUAL_PX, bold=False, shown=True,
    )  # fmt: skip
    found: dict[Element, Look] = {}
    for element in page.elements:
        around = found[element.parent] if element.parent is not None else canvas
        found[element] = _look(element, around, own_style(element, kept, scheme))
    return found


def faint(seen: Mapping[Element, Look]) -> Iterator[Faint]:
    """Text with less contrast than it needs, each place and pair of colours once."""
    told = set()
    for element, look in seen.items():
        if not (look.shown and element.text.strip() and look.colour and look.ground):
            continue
        ratio = contrast(look.colour, look.ground)
        key = (element.place, look.colour, look.ground)
        if ratio < look.wanted and key not in told:
            told.add(key)
            yield Faint(element, look, ratio)


def _look(element: Element, around: Look, style: Mapping[str, str]) -> Look:
    ground, grounded = _ground(style, around)
    colour, coloured = around.colour, around.coloured
    if element.tag == "a":
        colour, coloured = None, False  # every mail program has its own colour for links
    said = style.get("color", "inherit").strip().lower()
    if said == "inherit" and "color" in style:
        colour, coloured = around.colour, around.coloured
    elif "color" in style:
        colour, coloured = read_colour(said), True
    hidden = element.tag in _NOT_SHOWN or any(
        style.get(name, "").strip() in values for name, values in _HIDES.items()
    )
    return Look(
        colour, ground, grounded, coloured,
        _size(element, style.get("font-size", ""), around.size_px),
        _bold(element, style.get("font-weight", ""), around),
        around.shown and not hidden,
    )  # fmt: skip


def _ground(style: Mapping[str, str], around: Look) -> tuple[Colour | None, bool]:
    """What is behind it; a picture is no colour that anybody could judge."""
    ground, grounded = around.ground, around.grounded
    said = style.get("background-color", "").strip().lower()
    if said not in _SEES_THROUGH:
        colours = [c for word in _WORDS.findall(said) if (c := read_colour(word)) is not None]
        ground, grounded = (colours[-1] if colours else None), True
    if _PICTURE.search(style.get("background-image", "")):
        return None, True
    return ground, grounded


def _size(element: Element, said: str, around_px: float) -> float:
    found = _SIZE.fullmatch(said.strip().lower())
    if found is None:
        return around_px * _HEADINGS.get(element.tag, 1.0)
    number, unit = float(found[1]), found[2]
    per_unit = {"pt": 4 / 3, "em": around_px, "rem": _USUAL_PX, "%": around_px / 100}
    return number * per_unit.get(unit or "px", 1.0)


def _bold(element: Element, said: str, around: Look) -> bool:
    if said:
        return said in ("bold", "bolder") or (said.isdigit() and int(said) >= 700)
    return around.bold or element.tag in _BOLD
