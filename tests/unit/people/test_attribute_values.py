"""Values as text: what sorts, and what is the same, is so as text too."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.segmenter.people.attribute_values import NOT_A_NUMBER, number_key, shaped

numbers = st.one_of(
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from([2**53, 2**53 + 1, float(2**53), 2.0**63, -(2.0**63), 5e-324, -5e-324, 0.1]),
)


@given(numbers, numbers)
@example(2**53 + 1, float(2**53))
@example(-0.0, 0)
@example(1.0, 1)
@example(math.inf, 1.7976931348623157e308)
@example(-math.inf, -1.7976931348623157e308)
def test_numbers_sort_as_text_does_and_equal_ones_are_the_same_text(
    one: float, other: float
) -> None:
    ours, theirs = number_key(one).encode(), number_key(other).encode()
    assert (ours < theirs, ours == theirs) == (one < other, one == other)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, ("yes_no", "1")),
        (False, ("yes_no", "0")),
        ("1", ("text", "1")),
        (1, ("number", number_key(1))),
        (2**80, ("number", number_key(2.0**80))),
        (10**400, ("number", number_key(math.inf))),
        (float("nan"), ("number", NOT_A_NUMBER)),
    ],
)
def test_the_shape_travels_with_the_value(
    value: str | float | bool, expected: tuple[str, str]
) -> None:
    assert tuple(shaped(value)) == expected
