"""What an attribute's value is: text, a number, or yes and no; and which values can be kept.

Rules compare like with like only, so the shape travels with the value. Pure.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

from shared.errors import NeverRetry

Shape = Literal["text", "number", "yes_no"]

LARGEST_INTEGER: Final = 2**63 - 1
LONGEST_TEXT: Final = 10_000


class Shaped(NamedTuple):
    """A value as the store keeps and compares it; yes and no are 1 and 0."""

    shape: Shape
    value: str | int | float


class Unstorable(NeverRetry):
    """A value that cannot be kept; the text says why."""


def shaped(value: str | float | bool) -> Shaped:
    """The shape of a value. An integer beyond 64 bits becomes the nearest real number.

    Never raises for what `storable` has let through; a rule may compare with anything.
    """
    match value:
        case bool():
            return Shaped("yes_no", int(value))
        case int() if abs(value) > LARGEST_INTEGER:
            return Shaped("number", _real(value))
        case int() | float():
            return Shaped("number", value)
        case _:
            return Shaped("text", value)


def storable(value: str | float | bool) -> str | int | float | bool:
    """The value as it is kept. Raises Unstorable: not finite, or longer than a text may be."""
    if isinstance(value, float) and not math.isfinite(value):
        raise Unstorable("it is not a finite number")
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise Unstorable(f"it is longer than {LONGEST_TEXT} characters")
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_INTEGER:
        real = _real(value)
        if math.isinf(real):
            raise Unstorable("it is too large a number")
        return real
    return value


def _real(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
