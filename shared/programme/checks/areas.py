"""Checks of area data: kinds, codes, and field names that templates can use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.programme.checks.wording import Wrong, bad_word
from shared.programme.definitions import Areas
from shared.programme.findings import Finding
from shared.programme.problems import did_you_mean, nearest_word
from shared.programme.shapes import Path

AREA_KINDS: Final = frozenset(
    {
        "postcode_sector",
        "postcode_district",
        "ward",
        "polling_district",
        "local_authority",
        "constituency_2024",
        "precinct",
        "zip",
    }
)
"""Kinds Doorstep has a word for; imports may bring others, and an areas file declares its own."""

_FORMS: Final = {
    "postcode_sector": (re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]? [0-9]"), "FK1 1"),
    "postcode_district": (re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?"), "FK1"),
}


def check_areas(areas: Areas) -> Iterator[Finding]:
    """One areas definition by itself."""

    def finding(path: Path, message: str, hint: str) -> Finding:
        return Finding("areas", areas.name, path, message, hint)

    if wrong := bad_word(areas.kind):
        yield finding(("kind",), f"`kind`: {wrong[0]}", wrong[1])
    elif doubt := bad_kind(areas.kind, frozenset()):
        words = f"`kind`: {areas.kind} is a kind of your own", doubt[1]
        yield Finding("areas", areas.name, ("kind",), *words, warning=True)
    if not areas.by_code and areas.default is None:
        yield finding((), "no areas at all", "add `by_code:` or `default:`")
    for code, data in areas.by_code.items():
        if wrong := bad_code(areas.kind, code):
            yield finding(("by_code", code), wrong[0], wrong[1])
        yield from _check_fields(areas, data, ("by_code", code))
    yield from _check_fields(areas, areas.default or {}, ("default",))


def bad_kind(kind: str, declared: frozenset[str]) -> Wrong:
    """A kind of area that looks like a misspelling. `declared`: kinds of the areas files."""
    known = AREA_KINDS | declared
    nearest = nearest_word(kind, known)
    if kind in known or nearest is None or _digits(nearest) != _digits(kind):
        return None
    return f'there is no kind of area "{kind}"', did_you_mean(kind, known)


def bad_code(kind: str, code: str) -> Wrong:
    """A code that no area of a well-known kind can have."""
    if kind not in _FORMS or _FORMS[kind][0].fullmatch(code):
        return None
    form, example = _FORMS[kind]
    compact = "".join(code.upper().split())
    spelled = f"{compact[:-1]} {compact[-1:]}" if kind == "postcode_sector" else compact
    hint = f'did you mean "{spelled}"?' if form.fullmatch(spelled) else f'write it like "{example}"'
    return f'"{code}" is no {kind.replace("_", " ")}', hint


def _digits(word: str) -> str:
    """Years in kinds tell generations of areas apart: they are never misspellings."""
    return "".join(re.findall(r"[0-9]", word))


def _check_fields(areas: Areas, data: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    for field, value in data.items():
        if not field.isidentifier():
            usable = re.sub(r"\W+", "_", field).strip("_").lower()
            yield Finding(
                "areas",
                areas.name,
                (*path, field),
                f'a template cannot name the field "{field}"',
                f"use letters, digits and _{f', like {usable}' if usable.isidentifier() else ''}",
            )
        elif value is None:
            yield Finding(
                "areas",
                areas.name,
                (*path, field),
                f"`{field}` is empty",
                'write its value, or "" if it is meant empty',
            )
