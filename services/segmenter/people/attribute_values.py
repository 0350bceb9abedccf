"""What an attribute's value is: text, a number, or yes and no; and which values can be kept.

Rules compare like with like only, so the shape travels with the value. A value is kept as text
that sorts as the values do, character by character, so that every database compares alike. Pure.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

from shared.errors import NeverRetry

Shape = Literal["text", "number", "yes_no"]

LARGEST_INTEGER: Final = 2**63 - 1
LONGEST_TEXT: Final = 10_000

NOT_A_NUMBER: Final = "n"
_ZERO: Final = "5"
_BIAS: Final = 2_048
_BITS: Final = 64


class Shaped(NamedTuple):
    """A value as the store keeps and compares it: a text's own characters, `number_key` of a
    number, `1` and `0` for yes and no.
    """

    shape: Shape
    value: str


class Unstorable(NeverRetry):
    """A value that cannot be kept; the text says why."""


def shaped(value: str | float | bool) -> Shaped:
    """The shape of a value. An integer beyond 64 bits becomes the nearest real number.

    Never raises for what `storable` has let through; a rule may compare with anything.
    """
    match value:
        case bool():
            return Shaped("yes_no", str(int(value)))
        case int() if abs(value) > LARGEST_INTEGER:
            return Shaped("number", number_key(_real(value)))
        case int() | float():
            return Shaped("number", number_key(value))
        case _:
            return Shaped("text", value)


def number_key(value: float) -> str:
    """Text that sorts as numbers do and is the same for equal ones, integer or real, exactly.

    A digit for the sign, three hex digits for the power of two, sixteen for the 64 highest bits
    (an integer of the store has 63, a real number 53); both complemented below zero. `NOT_A_NUMBER`
    is none of them.
    """
    if math.isnan(value):
        return NOT_A_NUMBER
    if value == 0:
        return _ZERO
    if math.isinf(value):
        power, bits = 2 * _BIAS - 1, 0
    elif isinstance(value, int):
        power = abs(value).bit_length() + _BIAS
        bits = abs(value) << _BITS - abs(value).bit_length()
    else:
        fraction, exponent = math.frexp(abs(value))
        power, bits = exponent + _BIAS, int(fraction * 2**_BITS)
    if value > 0:
        return f"6{power:03x}{bits:016x}"
    return f"4{2 * _BIAS - 1 - power:03x}{2**_BITS - 1 - bits:016x}"


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
