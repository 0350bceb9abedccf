"""A whole programme in memory: its definitions, and where in its files each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.programme.definitions import Definition
from shared.programme.findings import Finding, Key, key_of
from shared.programme.problems import Position, Problem
from shared.programme.shapes import Path

ORDER: Final = ("campaign", "areas", "segment", "template", "send")
"""The order in which definitions are applied: nothing names what comes later."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a definition stands. `parts`: fields of the model that are files of their own."""

    file: str
    positions: Mapping[Path, Position] = field(default_factory=dict)
    parts: Mapping[Path, str] = field(default_factory=dict)

    def locate(self, path: Path, line: int | None) -> tuple[str, Position | None]:
        """File and position of a field of the model, or of the nearest field around it."""
        for length in range(len(path), -1, -1):
            head = path[:length]
            position = self.positions.get(head)
            if head in self.parts:
                return self.parts[head], Position(line) if line else position
            if position is not None:
                return self.file, position
        return self.file, None


@dataclass(frozen=True, slots=True)
class Programme:
    """Checked definitions in the order of applying them; `warnings` are doubts, not errors."""

    definitions: tuple[Definition, ...]
    origins: Mapping[Key, Origin]
    warnings: tuple[Problem, ...] = ()

    def by_key(self) -> dict[Key, Definition]:
        """The definitions by kind and name."""
        return {key_of(definition): definition for definition in self.definitions}


def in_apply_order(definitions: Mapping[Key, Definition]) -> tuple[Definition, ...]:
    """Campaign, areas, segments, templates, sends; each by name."""
    keys = sorted(definitions, key=lambda key: (ORDER.index(key[0]), key[1]))
    return tuple(definitions[key] for key in keys)


def located(finding: Finding, origins: Mapping[Key, Origin], file_of_all: str) -> Problem:
    """A finding with its place in the files; `file_of_all` for what is about no one file."""
    origin = origins.get((finding.kind, finding.name))
    if origin is None:
        return Problem(file_of_all, None, None, finding.message, finding.hint)
    file, position = origin.locate(finding.path, finding.line)
    line, column = position or (None, None)
    return Problem(file, line, column or None, finding.message, finding.hint)
