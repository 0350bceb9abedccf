"""Operators of the template language: as everywhere, but not without end."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.programme.links import BadDestination, destination
from shared.programme.template_language import LONGEST, MOST_BITS, compiled

OPERATORS = {"+": operator.add, "*": operator.mul, "**": operator.pow}
small = st.one_of(st.integers(-9, 9), st.booleans(), st.text(max_size=3), st.lists(st.none()))


@given(st.sampled_from(sorted(OPERATORS)), small, small)
def test_small_operations_are_those_of_python(sign: str, left: Any, right: Any) -> None:
    try:
        wanted = str(OPERATORS[sign](left, right))
    except (TypeError, ZeroDivisionError) as error:
        with pytest.raises(type(error)):
            compiled(f"{{{{ a {sign} b }}}}").render(a=left, b=right)
    else:
        assert compiled(f"{{{{ a {sign} b }}}}").render(a=left, b=right) == wanted


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 99999",
        "(9 ** 999) ** 99",
        "x * 9999999",
        "9999999 * x",
        "[1, 2] * 9999999",
        "x * 4000000 + x * 4000000",
        f"(2 ** {MOST_BITS // 2}) * (2 ** {MOST_BITS // 2})",
    ],
)
def test_an_operation_that_would_be_too_large_is_not_begun(expression: str) -> None:
    template = compiled(f"{{{{ {expression} }}}}")
    with pytest.raises(OverflowError, match="makes something too large"):
        template.render(x="ab")


def test_what_just_fits_is_made() -> None:
    assert len(compiled("{{ x * 5000000 }}").render(x="ab")) == LONGEST
    assert compiled("{{ 2 ** 64 - 1 }}").render() == str(2**64 - 1)


def test_an_address_that_computes_without_end_is_no_address() -> None:
    with pytest.raises(BadDestination, match="too large"):
        destination("https://example.org/{{ 9 ** 99999 }}", {})
