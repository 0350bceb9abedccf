"""Rules become SQL: bounded, parametrised, and refused in words when they cannot be asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from services.segmenter.people.rules_sql import Asked, RuleUnusable, compile_rule
from shared.programme.rules import (
    ActedOn,
    AllOf,
    AnyOf,
    Attribute,
    Did,
    Got,
    HasTag,
    InArea,
    NoneOf,
    Rule,
    Scalar,
    Speaks,
)

AS_OF = datetime(2026, 5, 7, tzinfo=UTC)


@pytest.mark.parametrize("asked", get_args(Asked))
def test_values_never_stand_in_the_text(asked: Asked) -> None:
    rule = AllOf(
        parts=(
            HasTag(tag="'; drop table supporter; --"),
            InArea(kind="ward' or 1", codes=("E05'",)),
            Did(action='"x"', within_days=3),
        )
    )
    condition = compile_rule(rule, AS_OF, asked)
    assert "drop" not in condition.sql
    assert "'" not in condition.sql.replace("''", "")
    assert condition.sql.count("?") == len(condition.parameters)


def test_the_same_rule_and_moment_give_the_same_text() -> None:
    rule = Did(action="voted", within_days=2)
    assert compile_rule(rule, AS_OF) == compile_rule(rule, AS_OF)
    assert compile_rule(rule, AS_OF) != compile_rule(rule, datetime(2026, 5, 8, tzinfo=UTC))


@pytest.mark.parametrize("values", [(), (1, 2)])
def test_a_comparison_needs_its_one_value(values: tuple[Scalar, ...]) -> None:
    with pytest.raises(RuleUnusable, match="attribute age: `<` compares with one value"):
        compile_rule(Attribute(name="age", comparison="<", values=values), AS_OF)


def test_a_rule_nested_beyond_reason_is_refused_in_words() -> None:
    rule: Rule = HasTag(tag="a")
    for _ in range(200):
        rule = NoneOf(parts=(rule,))
    with pytest.raises(RuleUnusable, match="flatten it"):
        compile_rule(rule, AS_OF)


def test_more_values_than_can_be_asked_are_refused_in_words() -> None:
    rule = AnyOf(parts=tuple(HasTag(tag=str(number)) for number in range(40_000)))
    with pytest.raises(RuleUnusable, match="split it"):
        compile_rule(rule, AS_OF)


def test_a_long_list_of_values_is_one_value() -> None:
    listed = Attribute(name="n", comparison="in", values=tuple(range(40_000)))
    assert len(compile_rule(listed, AS_OF).parameters) == 3


@pytest.mark.parametrize("asked", get_args(Asked))
def test_a_nul_reaches_no_database(asked: Asked) -> None:
    """PostgreSQL takes no text with one, and none that is kept has one."""
    leaves: list[Rule] = [
        HasTag(tag="a\x00"),
        InArea(kind="a\x00", codes=("W1",)),
        InArea(kind="ward", codes=("W1", "W\x002")),
        Attribute(name="a\x00", comparison="exists"),
        *(
            Attribute(name="a", comparison=comparison, values=("b\x00c",))
            for comparison in ("is", "is not", "<", "<=", ">", ">=", "in")
        ),
        Speaks(languages=("en", "\x00")),
        Did(action="\x00", within_days=3),
        Got(send="s", variant="\x00"),
        ActedOn(send="\x00"),
    ]
    condition = compile_rule(AnyOf(parts=tuple(leaves)), AS_OF, asked)
    for value in condition.parameters:
        assert not isinstance(value, str) or ("\x00" not in value and "\\u0000" not in value)


@pytest.mark.parametrize("days", [1e300, float("inf")])
def test_a_window_longer_than_time_is_a_whole_number_of_64_bits(days: float) -> None:
    _, since, _ = compile_rule(Did(action="voted", within_days=days), AS_OF).parameters
    assert since == -(2**62)
