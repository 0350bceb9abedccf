"""A segment's rule in plain words, as it turned out for one person. Pure.

`phrase` says a fact as it is: a rule that wants nobody who volunteered reads "has not volunteered"
for whom that is so. Whether it is as the segment wants it, is said by a mark beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

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

SHOWN: Final = 4
"""Codes or values that are listed; more are counted."""

COMBINED: Final = {"all": "all of these", "any": "at least one of these", "none": "none of these"}
_COMPARED: Final = {
    "is": ("is", "is not"),
    "is not": ("is not", "is"),
    "<": ("is below", "is not below"),
    "<=": ("is at most", "is above"),
    ">": ("is above", "is not above"),
    ">=": ("is at least", "is below"),
    "in": ("is one of", "is none of"),
    "exists": ("is known", "is not known"),
}


@dataclass(frozen=True, slots=True)
class Branch:
    """A node of the rule for the person; `depth` counts from 0.

    `as_wanted`: whether it is as the segment asks, which under `none` is when it does not hold.
    """

    text: str
    holds: bool
    as_wanted: bool
    fact: str
    depth: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A node as the segmenter told of it."""

    text: str
    holds: bool
    fact: str
    depth: int


def in_words(rule: Rule | None, answered: Sequence[Answered]) -> list[Branch]:
    """The tree in plain words.

    Without the rule, or with another one than was asked about, the words are the segmenter's own.
    """
    nodes = list(_flat(rule, 0, wanted=True)) if rule is not None else []
    if [depth for _, depth, _ in nodes] != [each.depth for each in answered]:
        return [Branch(a.text, a.holds, a.holds, a.fact, a.depth) for a in answered]
    return [
        Branch(phrase(node, a.holds), a.holds, a.holds is wanted, a.fact, a.depth)
        for (node, _, wanted), a in zip(nodes, answered, strict=True)
    ]


def phrase(rule: Rule, holds: bool) -> str:  # noqa: C901, PLR0911 - one case for each kind of node
    """The node as it turned out: `has not clicked volunteer-ask`."""
    match rule:
        case AllOf() | AnyOf() | NoneOf():
            return COMBINED[rule.op]
        case InArea():
            kind = rule.kind.replace("_", " ")
            if len(rule.codes) > SHOWN:
                return f"in {'one' if holds else 'none'} of {len(rule.codes)} areas ({kind})"
            return f"{'' if holds else 'not '}in {kind} {' or '.join(rule.codes)}"
        case HasTag():
            return f"{'' if holds else 'not '}tagged {rule.tag}"
        case Attribute():
            return _compared(rule, holds)
        case Speaks():
            return f"{'speaks' if holds else 'does not speak'} {' or '.join(rule.languages)}"
        case Did():
            times = f" at least {rule.at_least} times" if rule.at_least > 1 else ""
            days = f" in the last {rule.within_days:g} days" if rule.within_days else ""
            return f"has {'' if holds else 'not '}{rule.action}{times}{days}"
        case Got():
            variant = f" (variant {rule.variant})" if rule.variant else ""
            return f"{'got' if holds else 'did not get'} {rule.send}{variant}"
        case Opened() | Clicked():
            return f"has {'' if holds else 'not '}{rule.op} {rule.send}"
        case ActedOn():
            action = rule.action or "acted"
            return f"has {'' if holds else 'not '}{action} after {rule.send}"
        case Sample():
            return f"{'' if holds else 'not '}in the random sample of {rule.percent:g}%"
    assert_never(rule)


def culprit(tree: Sequence[Branch], at: int = 0) -> str:
    """What decides that the node at index `at` is not as wanted, with the fact behind it.

    Empty when it is as wanted.
    """
    if at >= len(tree) or tree[at].as_wanted:
        return ""
    below = [index for index in _parts(tree, at) if not tree[index].as_wanted]
    if not below:
        node = tree[at]
        return f"{node.text} ({node.fact})" if node.fact and not says_it(node) else node.text
    together = tree[at].text == COMBINED["any"] and not tree[at].holds
    if together and len(below) > 1:
        return " and ".join(culprit(tree, index) for index in below[:SHOWN])
    return culprit(tree, below[0])


def says_it(node: Branch) -> bool:
    """Whether the words say all that the fact does."""
    return node.fact in {"never", "not then", "carries the tag"} or node.fact.startswith(
        ("not ", "does not carry")
    )


def _compared(rule: Attribute, holds: bool) -> str:
    yes, no = _COMPARED[rule.comparison]
    values = _listed([str(value) for value in rule.values], f"{len(rule.values)} values")
    said = f"{rule.name} {yes if holds else no}"
    return f"{said} {values}" if rule.values else said


def _listed(values: Sequence[str], many: str) -> str:
    return ", ".join(values) if len(values) <= SHOWN else many


def _flat(rule: Rule, depth: int, *, wanted: bool) -> Iterator[tuple[Rule, int, bool]]:
    """Parents first, each with its depth, and whether the segment wants it to hold."""
    yield rule, depth, wanted
    if isinstance(rule, AllOf | AnyOf | NoneOf):
        below = not wanted if isinstance(rule, NoneOf) else wanted
        for part in rule.parts:
            yield from _flat(part, depth + 1, wanted=below)


def _parts(tree: Sequence[Branch], at: int) -> list[int]:
    """Indexes of the nodes directly below."""
    found = []
    for index in range(at + 1, len(tree)):
        if tree[index].depth <= tree[at].depth:
            break
        if tree[index].depth == tree[at].depth + 1:
            found.append(index)
    return found
