"""Compiles a rule into an SQL condition over a row `s` of `supporter`.

Every condition is true or false, never unknown, so that `none` is its plain negation. Values are
parameters; names come from the schema alone; SQLite and PostgreSQL take the same text. A predicate
can be lowered as a question to each row or as a whole set computed first; which is faster depends
on how many rows are asked, so the caller says. The meaning is the same. Nothing here reads a clock:
`as_of` is given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, assert_never

from services.segmenter.people import samples
from services.segmenter.people.attribute_values import NOT_A_NUMBER, shaped
from shared.clock import to_ms
from shared.errors import NeverRetry
from shared.programme.rules import (
    ActedOn,
    AllOf,
    AnyOf,
    Attribute,
    Clicked,
    Did,
    Got,
    HasTag,
    InArea,
    NoneOf,
    Opened,
    Rule,
    Sample,
    Speaks,
)

Asked = Literal["everyone", "partition", "given"]
"""Of how many the rule is asked: all supporters, one partition of them, or a given few."""

Lowering = Literal["rows", "sets"]
Parameter = str | int | bytes

DAY_MS: Final = 86_400_000
EARLIEST: Final = -(2**62)
NUL: Final = "\x00"
"""In no text of the store: changes and events are cleaned of it on entry."""
DEEPEST: Final = 100
MOST_PARAMETERS: Final = 30_000
_ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})


class RuleUnusable(NeverRetry):
    """A rule that cannot be asked of the store; the text says which part and why."""


class Condition(NamedTuple):
    """SQL with positional parameters, in order."""

    sql: str
    parameters: tuple[Parameter, ...]


NOBODY: Final = Condition("1 = 0", ())
EVERYBODY: Final = Condition("1 = 1", ())


def compile_rule(rule: Rule, as_of: datetime, asked: Asked = "given") -> Condition:
    """The condition on `s` that holds exactly for the supporters the rule means.

    Raises RuleUnusable: nested too deep, too many values, a comparison without its value. A rule
    with seeded samples needs `samples.teach` on the connection.
    """
    as_of_ms = to_ms(as_of)
    parts = rule.parts if isinstance(rule, AllOf) else (rule,)
    if asked != "given" and any(isinstance(part, InArea) for part in parts):
        # Places are few people: find those first, then ask each of them the rest.
        places, rows = _Compiler(as_of_ms, "sets"), _Compiler(as_of_ms, "rows")
        compiled = [(places if isinstance(p, InArea) else rows).node(p, 1) for p in parts]
        condition = _joined("and", compiled)
    else:
        lowering: Lowering = "sets" if asked == "everyone" else "rows"
        condition = _Compiler(as_of_ms, lowering).node(rule, 0)
    if len(condition.parameters) > MOST_PARAMETERS:
        raise RuleUnusable(
            f"the rule compares with {len(condition.parameters)} values, at most "
            f"{MOST_PARAMETERS} can be asked at once; split it into several segments"
        )
    return condition


class _Compiler:
    def __init__(self, as_of_ms: int, lowering: Lowering) -> None:
        self._as_of_ms, self._lowering = as_of_ms, lowering

    def node(self, rule: Rule, depth: int) -> Condition:
        if depth > DEEPEST:
            raise RuleUnusable(f"the rule is nested more than {DEEPEST} deep; flatten it")
        match rule:
            case AllOf():
                return _joined("and", [self.node(part, depth + 1) for part in rule.parts])
            case AnyOf():
                return _joined("or", [self.node(part, depth + 1) for part in rule.parts])
            case NoneOf():
                return negated(_joined("or", [self.node(p, depth + 1) for p in rule.parts]))
            case InArea() | HasTag() | Attribute() | Speaks() | Sample():
                return self._trait(rule)
            case Did() | Got() | Opened() | Clicked() | ActedOn():
                return self._behaviour(rule)
            case _:
                assert_never(rule)

    def _trait(self, rule: InArea | HasTag | Attribute | Speaks | Sample) -> Condition:
        match rule:
            case InArea():
                return self._in_area(rule)
            case HasTag():
                return self._found("supporter_tag", "tag = ?", (rule.tag,))
            case Attribute():
                return self._attribute(rule)
            case Speaks():
                return _speaks(rule)
            case Sample():
                return _sampled(rule)

    def _behaviour(self, rule: Did | Got | Opened | Clicked | ActedOn) -> Condition:
        match rule:
            case Did():
                return self._did(rule)
            case Got():
                return self._got(rule)
            case Opened():
                return self._delivery("opened_at is not null", rule.send)
            case Clicked():
                return self._delivery("clicked_at is not null", rule.send)
            case ActedOn():
                return self._acted_on(rule)

    def _got(self, rule: Got) -> Condition:
        if rule.variant is None:
            return self._delivery("accepted_at is not null", rule.send)
        return self._delivery("accepted_at is not null and variant = ?", rule.send, rule.variant)

    def _acted_on(self, rule: ActedOn) -> Condition:
        if rule.action is None:
            return self._found("action", "send_id = ?", (rule.send,))
        return self._found("action", "send_id = ? and action = ?", (rule.send, rule.action))

    def _delivery(self, condition: str, *values: str) -> Condition:
        return self._found("delivery", f"send_id = ? and {condition}", values)

    def _in_area(self, rule: InArea) -> Condition:
        codes = _possible(rule.codes)
        if not codes or NUL in rule.kind:
            return NOBODY
        values = (rule.kind, json.dumps(codes))
        listed = "in (select value from json_each(?))"
        if self._lowering == "sets":
            return self._found("supporter_area", f"kind = ? and code {listed}", values)
        # As one value looked up in the list: with `exists`, SQLite would try code after code.
        return Condition(
            "coalesce((select code from supporter_area where kind = ?"
            f" and supporter_area.supporter_id = s.supporter_id), '') {listed}",
            values,
        )

    def _attribute(self, rule: Attribute) -> Condition:
        wanted = _comparison(rule)
        if wanted is None:
            return NOBODY
        condition, values = wanted
        found = self._found("supporter_attribute", f"name = ?{condition}", (rule.name, *values))
        return negated(found) if rule.comparison == "is not" else found

    def _did(self, rule: Did) -> Condition:
        if rule.within_days is None:
            return self._found("action", "action = ?", (rule.action,), rule.at_least)
        values = (rule.action, since_ms(self._as_of_ms, rule.within_days), self._as_of_ms)
        return self._found("action", "action = ? and at > ? and at <= ?", values, rule.at_least)

    def _found(
        self, table: str, condition: str, values: Sequence[Parameter], at_least: int = 1
    ) -> Condition:
        """The supporter has at least so many rows of the table that satisfy the condition."""
        if any(isinstance(value, str) and NUL in value for value in values):
            return NOBODY
        if self._lowering == "sets":
            enough = f" group by supporter_id having count(*) >= {at_least}" if at_least > 1 else ""
            sql = f"s.supporter_id in (select supporter_id from {table} where {condition}{enough})"
        else:
            enough = f" limit 1 offset {at_least - 1}" if at_least > 1 else ""
            sql = (
                f"exists (select 1 from {table} where {table}.supporter_id = s.supporter_id"
                f" and {condition}{enough})"
            )
        return Condition(sql, tuple(values))


def since_ms(until_ms: int, days: float) -> int:
    """The far edge of a window, in whole milliseconds and within 64 bits: for a comparison with a
    real number PostgreSQL would not use its index.
    """
    return math.floor(max(until_ms - days * DAY_MS, EARLIEST))


def negated(condition: Condition) -> Condition:
    return Condition(f"not ({condition.sql})", condition.parameters)


def _joined(word: Literal["and", "or"], parts: Sequence[Condition]) -> Condition:
    """Joined as a balanced tree: SQLite refuses expressions deeper than a thousand."""
    if not parts:
        return EVERYBODY if word == "and" else NOBODY
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    left, right = _joined(word, parts[:middle]), _joined(word, parts[middle:])
    return Condition(f"({left.sql} {word} {right.sql})", (*left.parameters, *right.parameters))


def _speaks(rule: Speaks) -> Condition:
    languages = _possible(language.casefold() for language in rule.languages)
    if not languages:
        return NOBODY
    return Condition(
        f"(s.language is not null and s.language in ({_marks(languages)}))", tuple(languages)
    )


def _sampled(rule: Sample) -> Condition:
    end = samples.below(rule.percent)
    if end is None:
        return EVERYBODY
    if not rule.seed:
        return Condition("s.bucket < ?", (end,))
    return Condition(f"{samples.BUCKET} < ?", (samples.prefix(rule.seed), end))


def _comparison(rule: Attribute) -> tuple[str, tuple[str, ...]] | None:
    """The condition on `shape` and `value`, or None when nothing can satisfy it."""
    if rule.comparison == "exists":
        return "", ()
    if rule.comparison == "in":
        return _one_of(rule) if rule.values else None
    if len(rule.values) != 1:
        raise RuleUnusable(
            f"attribute {rule.name}: `{rule.comparison}` compares with one value, "
            f"{len(rule.values)} are given"
        )
    shape, value = shaped(rule.values[0])
    if rule.comparison in _ORDERINGS:
        if shape == "yes_no" or (shape == "number" and value == NOT_A_NUMBER):
            return None
        return _ordering(shape, rule.comparison, value)
    return " and shape = ? and value = ?", (shape, value)


def _ordering(shape: str, comparison: str, value: str) -> tuple[str, tuple[str, ...]]:
    """Nothing that is kept lies between a text up to its NUL and the whole of it."""
    before, nul, _ = value.partition(NUL)
    if nul:
        comparison = comparison.rstrip("=") + ("=" if comparison.startswith("<") else "")
    return f" and shape = ? and value {comparison} ?", (shape, before)


def _one_of(rule: Attribute) -> tuple[str, tuple[str, ...]]:
    by_shape: dict[str, list[str]] = {}
    for each in rule.values:
        shape, value = shaped(each)
        by_shape.setdefault(shape, []).append(value)
    one = "shape = ? and value in (select value from json_each(?))"
    values = [(shape, json.dumps(_free_of_nul(values))) for shape, values in by_shape.items()]
    return f" and ({' or '.join([one] * len(values))})", tuple(v for pair in values for v in pair)


def _possible(names: Iterable[str]) -> list[str]:
    """Those that somebody may have: nobody's code or language is empty."""
    return [name for name in _free_of_nul(names) if name]


def _free_of_nul(values: Iterable[str]) -> list[str]:
    return [value for value in values if NUL not in value]


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
