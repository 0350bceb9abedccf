"""What applying a programme would change, and definitions to and from the programme topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast

from pydantic import ValidationError

from shared.errors import NeverRetry, NewerVersion
from shared.programme.definitions import MODELS, Definition
from shared.programme.findings import Key, key_of
from shared.programme.programme import ORDER, Programme
from shared.wire import programme as wire

Action = Literal["new", "changed", "unchanged", "removed"]

SHORT: Final = 60
"""Values longer than this are not shown in a detail."""


@dataclass(frozen=True, slots=True)
class Change:
    """What would happen to one definition. `detail` says what differs, for people."""

    kind: str
    name: str
    action: Action
    detail: str = ""


def diff_programmes(
    current: Mapping[Key, wire.Definition], wanted: Programme
) -> tuple[Change, ...]:
    """Every definition of either side, in the order of applying: campaign, areas, segments,
    templates, sends; then what is gone, in the reverse order.

    `current` are the newest definitions of the programme topic by kind and name.
    """
    definitions = wanted.by_key()
    changes = [_change(current.get(key), each) for key, each in definitions.items()]
    gone = sorted(
        (key for key in current if key not in definitions),
        key=lambda key: (-ORDER.index(key[0]), key[1]),
    )
    removed = [Change(kind, name, "removed", "no file defines it any more") for kind, name in gone]
    return (*changes, *removed)


def to_wire(definition: Definition, applied_at: datetime, by: str = "") -> wire.Definition:
    """The record of one definition for the programme topic."""
    kind, name = key_of(definition)
    return wire.Definition(
        kind=cast("wire.DefinitionKind", kind),
        name=name,
        version=definition.version(),
        body=definition.model_dump(mode="json"),
        applied_at=applied_at,
        applied_by=by,
    )


def from_wire(record: wire.Definition) -> Definition:
    """The definition in a record.

    Raises NewerVersion when it has fields this release does not know, NeverRetry when it is not a
    definition at all.
    """
    try:
        return MODELS[record.kind].model_validate(record.body)
    except ValidationError as error:
        fields = [
            ".".join(str(part) for part in each["loc"])
            for each in error.errors()
            if each["type"] in ("extra_forbidden", "union_tag_invalid")
        ]
        what = f'{record.kind} "{record.name}" ({record.version})'
        if fields:
            raise NewerVersion(
                f"{what} says {', '.join(fields)}, which this release does not know: upgrade it"
            ) from error
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise NeverRetry(f"{what} is no definition: {where}: {first['msg']}") from error


def _change(current: wire.Definition | None, wanted: Definition) -> Change:
    kind, name = key_of(wanted)
    if current is None:
        return Change(kind, name, "new")
    if current.version == wanted.version():
        return Change(kind, name, "unchanged")
    return Change(kind, name, "changed", _detail(current.body, wanted.model_dump(mode="json")))


def _detail(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    fields = [*after, *sorted(before.keys() - after.keys())]
    said = [
        _difference(field, before.get(field), after.get(field))
        for field in fields
        if before.get(field) != after.get(field)
    ]
    return "; ".join(said) or "the same content, written by another release"


def _difference(field: str, before: Any, after: Any) -> str:
    """One changed field: from and to where that is short, else how much."""
    if isinstance(before, dict) and isinstance(after, dict):
        return f"{field}: {_keys(before, after)}"
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        old, new = before.splitlines(), after.splitlines()
        added, gone = (len(_without(a, b)) for a, b in ((new, old), (old, new)))
        return f"{field}: {added} lines new, {gone} gone"
    shown = f"{field}: {_short(before)} -> {_short(after)}"
    return shown if len(shown) <= 2 * SHORT else field


def _keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    counts = {
        "new": after.keys() - before.keys(),
        "changed": {key for key in before.keys() & after.keys() if before[key] != after[key]},
        "gone": before.keys() - after.keys(),
    }
    return ", ".join(
        f"{word} {', '.join(sorted(keys))}" if len(keys) <= 3 else f"{len(keys)} {word}"
        for word, keys in counts.items()
        if keys
    )


def _without(lines: list[str], others: list[str]) -> list[str]:
    known = set(others)
    return [line for line in lines if line not in known]


def _short(value: Any) -> str:
    return '""' if value == "" else "none" if value is None else str(value)
