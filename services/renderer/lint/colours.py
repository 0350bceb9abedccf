"""Colours as mails write them, and their contrast. Pure.

Formulas: WCAG 2.2, "relative luminance" and "contrast ratio".
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_HEX: Final = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})")
_FUNCTION: Final = re.compile(
    r"rgba?\(\s*(\d+)\s*[, ]\s*(\d+)\s*[, ]\s*(\d+)\s*(?:[,/]\s*([\d.]+%?)\s*)?\)"
)
_NAMES: Final = {
    "black": 0x000000, "white": 0xFFFFFF, "red": 0xFF0000, "green": 0x008000, "blue": 0x0000FF,
    "gray": 0x808080, "grey": 0x808080, "silver": 0xC0C0C0, "lightgray": 0xD3D3D3,
    "lightgrey": 0xD3D3D3, "darkgray": 0xA9A9A9, "darkgrey": 0xA9A9A9, "dimgray": 0x696969,
    "dimgrey": 0x696969, "whitesmoke": 0xF5F5F5, "yellow": 0xFFFF00, "orange": 0xFFA500,
    "navy": 0x000080, "maroon": 0x800000, "teal": 0x008080, "purple": 0x800080, "gold": 0xFFD700,
    "crimson": 0xDC143C, "tomato": 0xFF6347, "darkgreen": 0x006400, "darkblue": 0x00008B,
    "darkred": 0x8B0000, "ivory": 0xFFFFF0, "beige": 0xF5F5DC,
}  # fmt: skip
"""The names that mails use; what is not among them is not judged."""


class Colour(NamedTuple):
    """Each from 0 to 255."""

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"


WHITE: Final = Colour(255, 255, 255)
BLACK: Final = Colour(0, 0, 0)


def read_colour(text: str) -> Colour | None:
    """The colour, None for what is none, is see-through, or is not known here."""
    said = text.strip().lower()
    if said in _NAMES:
        return _of_number(_NAMES[said])
    if found := _HEX.fullmatch(said):
        digits = found[1] if len(found[1]) == 6 else "".join(2 * each for each in found[1])
        return _of_number(int(digits, 16))
    if (found := _FUNCTION.fullmatch(said)) and found[4] in (None, "1", "1.0", "100%"):
        return Colour(*(min(255, int(each)) for each in found.group(1, 2, 3)))
    return None


def contrast(one: Colour, other: Colour) -> float:
    """From 1 (the same) to 21 (black on white)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (_linear(each / 255) for each in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _of_number(value: int) -> Colour:
    return Colour(value >> 16, value >> 8 & 255, value & 255)
