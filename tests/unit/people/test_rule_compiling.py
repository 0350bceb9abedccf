"""Rules become SQL: bounded, parametrised, and refused in words when they cannot be asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from services.segmenter.people.rules_sql import Asked, RuleUnusable, compile_rule
from shared.programme.rules import (
    AllOf,
    Attribute,
    Did,
    HasTag,
    InArea,
    NoneOf,
    Rule,
    Scalar,
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
    rule = Attribute(name="n", comparison="in", values=tuple(range(40_000)))
    with pytest.raises(RuleUnusable, match="split it"):
        compile_rule(rule, AS_OF)
