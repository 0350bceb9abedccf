"""Which facts a rule looks at, so that only segments that may have changed are asked again.

A fact is a predicate's word and its object: `tag:volunteer`, `did:pledged`, `clicked:<send>`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, assert_never

from services.segmenter.people.portrait import Area
from services.segmenter.people.profile_store import Changed
from services.segmenter.people.rules_sql import DAY_MS
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

NEW: Final = "new"
"""The fact that somebody was not known before: every segment looks at it."""


class Window(NamedTuple):
    """An action that counts only for so long."""

    action: str
    length_ms: float


def facts_of(rule: Rule) -> frozenset[str]:
    """Every fact the rule looks at."""
    return frozenset(_facts(rule)) | {NEW}


def windows_of(rule: Rule) -> frozenset[Window]:
    """What time alone can change in the rule."""
    return frozenset(_windows(rule))


def facts_changed(change: Changed) -> set[str]:
    """What a rule may see differently in this supporter."""
    if not change.before.known:
        return {NEW}
    before, now = change.before.profile, change.profile
    facts = {
        f"tag:{tag}"
        for tag, stated in now.tags.items()
        if tag not in before.tags or before.tags[tag].value != stated.value
    }
    facts |= {
        f"attribute:{name}"
        for name, stated in now.attributes.items()
        if before.attributes.get(name) is not stated
    }
    areas = change.portrait.areas
    for kind in areas.keys() | change.before.areas.keys():
        if _code(areas.get(kind)) != _code(change.before.areas.get(kind)):
            facts.add(f"area:{kind}")
    if before.text("language") != now.text("language"):
        facts.add("language")
    return facts


def _code(area: Area | None) -> str | None:
    return None if area is None else area.code


def _facts(rule: Rule) -> Iterator[str]:
    match rule:
        case AllOf() | AnyOf() | NoneOf():
            for part in rule.parts:
                yield from _facts(part)
        case InArea(kind=name) | HasTag(tag=name) | Attribute(name=name) | Did(action=name):
            yield f"{rule.op}:{name}"
        case Got() | Opened() | Clicked() | ActedOn():
            yield f"{rule.op}:{rule.send}"
        case Speaks():
            yield rule.op
        case Sample():
            return
        case _:
            assert_never(rule)


def _windows(rule: Rule) -> Iterator[Window]:
    match rule:
        case AllOf() | AnyOf() | NoneOf():
            for part in rule.parts:
                yield from _windows(part)
        case Did(within_days=days) if days is not None:
            yield Window(rule.action, days * DAY_MS)
        case _:
            return
