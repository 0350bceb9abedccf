"""Checks of the rule of a segment against the programme around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shared.programme.checks.areas import bad_code, bad_kind
from shared.programme.checks.wording import Wrong, bad_language, strange_action
from shared.programme.definitions import Areas, Segment, Send
from shared.programme.findings import Catalogue, Finding
from shared.programme.problems import no_such
from shared.programme.rules import (
    ActedOn,
    AllOf,
    AnyOf,
    Attribute,
    Clicked,
    Did,
    Got,
    InArea,
    NoneOf,
    Opened,
    Rule,
    Speaks,
)
from shared.programme.shapes import Path

MAX_DEPTH: Final = 30


def check_segment(segment: Segment, catalogue: Catalogue) -> Iterator[Finding]:
    """Names, codes and words of every part of the rule."""
    declared = frozenset(
        each.kind for each in catalogue.definitions.values() if isinstance(each, Areas)
    )
    for part, path in parts_of(segment.rule):
        if len(path) > 2 * MAX_DEPTH:
            hint = f"at most {MAX_DEPTH} levels"
            yield Finding("segment", segment.name, path, "nested too deep", hint)
            return
        for below, (message, hint) in _wrong(part, declared, catalogue):
            yield Finding("segment", segment.name, (*path, *below), message, hint)
        for message, hint in _doubtful(part):
            yield Finding("segment", segment.name, path, message, hint, warning=True)


def _wrong(
    part: Rule, declared: frozenset[str], catalogue: Catalogue
) -> Iterator[tuple[Path, tuple[str, str]]]:
    """What is wrong with one part alone, each with the path below it."""
    match part:
        case Got() | Opened() | Clicked() | ActedOn():
            if wrong := _unknown_send(part, catalogue):
                yield (), wrong
        case InArea():
            yield from _wrong_area(part, declared)
        case Speaks():
            for index, code in enumerate(part.languages):
                if wrong := bad_language(code):
                    yield ("languages", index), wrong
        case Attribute():
            if wrong := _wrong_values(part):
                yield (), wrong


def _wrong_area(part: InArea, declared: frozenset[str]) -> Iterator[tuple[Path, tuple[str, str]]]:
    if wrong := bad_kind(part.kind, declared):
        own = f"(an areas file with `kind: {part.kind}` declares a kind of your own)"
        yield (), (wrong[0], f"{wrong[1]} {own}")
    for index, code in enumerate(part.codes):
        if wrong := bad_code(part.kind, code):
            yield ("codes", index), wrong


def _doubtful(part: Rule) -> Iterator[tuple[str, str]]:
    if isinstance(part, AnyOf) and not part.parts:
        yield "`any` without conditions holds for nobody", "add a condition"
    action = part.action if isinstance(part, Did | ActedOn) else None
    if action is not None and (doubt := strange_action(action)):
        yield doubt


def parts_of(rule: Rule, path: Path = ("rule",)) -> Iterator[tuple[Rule, Path]]:
    """The rule and every part below it, each with its path in the model."""
    yield rule, path
    if isinstance(rule, AllOf | AnyOf | NoneOf):
        for index, part in enumerate(rule.parts):
            yield from parts_of(part, (*path, "parts", index))


def _unknown_send(part: Got | Opened | Clicked | ActedOn, catalogue: Catalogue) -> Wrong:
    if wrong := catalogue.missing("send", part.send):
        return wrong
    send = catalogue.find(Send, "send", part.send)
    variant = part.variant if isinstance(part, Got) else None
    if send is None or variant is None:
        return None
    names = [each.name for each in send.variants]
    return None if variant in names else no_such("variant", variant, names)


def _wrong_values(part: Attribute) -> Wrong:
    """Numbers of values that no rule file can say, but a rule made elsewhere could."""
    wanted = {"exists": part.values == (), "in": len(part.values) > 0}
    if wanted.get(part.comparison, len(part.values) == 1):
        return None
    return f"`{part.comparison}` with {len(part.values)} values", "`in` takes several, others one"
