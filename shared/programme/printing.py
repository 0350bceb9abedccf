"""A rule tree as the YAML that producers write, in one canonical form.

Reading what is printed here gives the same tree. Printing checks nothing but what could not be
written at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final, assert_never

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
    Scalar,
    Speaks,
)

WIDTH: Final = 96

_BARE: Final = re.compile(r"[^\W\d_][\w-]*( [\w-]+)*")
_NOT_BARE: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_TWINS: Final[dict[type, str]] = {
    Did: "did_not",
    Got: "not_got",
    Opened: "not_opened",
    Clicked: "not_clicked",
    ActedOn: "not_acted",
}


def print_rule(rule: Rule, indent: int = 0) -> str:
    """The rule as YAML, indented by `indent` spaces, with a line end.

    Raises ValueError for a tree that has no written form: a comparison with the wrong number of
    values, or a number that is not finite.
    """
    return "\n".join(" " * indent + line for line in _lines(rule)) + "\n"


def _lines(rule: Rule) -> list[str]:
    if isinstance(rule, NoneOf) and len(rule.parts) == 1 and type(rule.parts[0]) in _TWINS:
        return _flow(f"{_TWINS[type(rule.parts[0])]}: ", _leaf(rule.parts[0]))
    if isinstance(rule, AllOf | AnyOf | NoneOf):
        if not rule.parts:
            return [f"{rule.op}: []"]
        lines = [f"{rule.op}:"]
        for part in rule.parts:
            first, *rest = _lines(part)
            lines += [f"  - {first}", *(f"    {line}" for line in rest)]
        return lines
    return _flow(f"{rule.op}: ", _leaf(rule))


def _leaf(rule: Rule) -> list[str]:  # noqa: C901, PLR0911 - one case for each kind of fact
    """The value of one fact in flow style, as pieces between which a line may be broken."""
    match rule:
        case InArea():
            return ["{", f"{_text(rule.kind)}: ", *_listed(rule.codes), "}"]
        case HasTag():
            return [_text(rule.tag)]
        case Attribute():
            return ["{", f"{_text(rule.name)}: ", *_compared(rule), "}"]
        case Speaks():
            return _listed(rule.languages)
        case Did():
            often = rule.at_least if rule.at_least != 1 else None
            days = _short(rule.within_days) if rule.within_days is not None else None
            return _named("action", rule.action, at_least=often, within_days=days)
        case Got():
            return _named("send", rule.send, variant=rule.variant)
        case Opened() | Clicked():
            return [_text(rule.send)]
        case ActedOn():
            return _named("send", rule.send, action=rule.action)
        case Sample():
            seed = f", seed: {_text(rule.seed)}" if rule.seed else ""
            return [f"{{percent: {_short(rule.percent)}{seed}}}"]
        case AllOf() | AnyOf() | NoneOf():
            raise AssertionError("a combination is not a leaf")
    assert_never(rule)


def _compared(rule: Attribute) -> list[str]:
    wrong = bool(rule.values) if rule.comparison == "exists" else not rule.values
    if wrong or (rule.comparison != "in" and len(rule.values) > 1):
        raise ValueError(
            f"`{rule.comparison}` on `{rule.name}` with {len(rule.values)} values cannot be written"
        )
    word = rule.comparison if rule.comparison[0].isalpha() else f'"{rule.comparison}"'
    if rule.comparison == "exists":
        return ["{exists: true}"]
    if rule.comparison == "in":
        return ["{in: ", *_listed(rule.values), "}"]
    return [f"{{{word}: {_scalar(rule.values[0])}}}"]


def _named(field: str, name: str, **more: Scalar | None) -> list[str]:
    """The name alone when it says everything, else a mapping."""
    rest = [f", {key}: {_scalar(value)}" for key, value in more.items() if value is not None]
    return ["{", f"{field}: {_text(name)}", *rest, "}"] if rest else [_text(name)]


def _listed(values: Iterable[Scalar]) -> list[str]:
    pieces = [_scalar(value) for value in values]
    return ["[", *(f"{piece}, " for piece in pieces[:-1]), *pieces[-1:], "]"]


def _flow(start: str, pieces: list[str]) -> list[str]:
    """Pieces joined, broken before a piece that would pass the width."""
    lines = [start]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > WIDTH and lines[-1].endswith(", "):
            lines[-1] = lines[-1].rstrip()
            lines.append("  ")
        lines[-1] += piece
    return lines


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else _number(value)


def _short(value: float) -> float | int:
    """A whole number without its `.0`, for fields that are known to hold numbers."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _number(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be written in a rule")
    return repr(value)


def _text(value: str) -> str:
    """Bare when nobody could read it as anything else, otherwise in double quotes."""
    if _BARE.fullmatch(value) and value.casefold() not in _NOT_BARE:
        return value
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
