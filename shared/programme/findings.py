"""What checks find, said of definitions; where it stands in files is added by the reading.

A finding names the definition and the path of the field in its model, so that the same checks
serve files, the console and the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from shared.programme.definitions import Definition, kind_of
from shared.programme.problems import no_such
from shared.programme.shapes import Path

Key = tuple[str, str]
"""Kind and name of a definition."""

_D = TypeVar("_D")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or with `warning` only doubtful.

    `line` counts from 1 within the source at `path`, for the sources of templates.
    """

    kind: str
    name: str
    path: Path
    message: str
    hint: str = ""
    warning: bool = False
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The definitions of a programme by kind and name.

    `also_there` are definitions that exist but could not be read: they can be named.
    `partials` are the names of shared sources that templates may use.
    """

    definitions: Mapping[Key, Definition]
    also_there: frozenset[Key] = frozenset()
    partials: frozenset[str] = field(default_factory=frozenset)

    def names(self, kind: str) -> set[str]:
        """Names that a definition of that kind may be called by."""
        keys = {*self.definitions, *self.also_there}
        return {name for each, name in keys if each == kind}

    def find(self, model: type[_D], kind: str, name: str) -> _D | None:
        """The definition, when it is there and could be read."""
        found = self.definitions.get((kind, name))
        return found if isinstance(found, model) else None

    def missing(self, kind: str, name: str) -> tuple[str, str] | None:
        """Message and hint when there is no definition of that kind and name."""
        key = (kind, name)
        there = key in self.definitions or key in self.also_there
        return None if there else no_such(kind, name, self.names(kind))


def key_of(definition: Definition) -> Key:
    """Kind and name."""
    return kind_of(definition), definition.name


def catalogue_of(
    definitions: Iterable[Definition],
    also_there: frozenset[Key] = frozenset(),
    partials: frozenset[str] = frozenset(),
) -> Catalogue:
    """The definitions by key; of two with one key the last (`checking` reports that)."""
    return Catalogue({key_of(each): each for each in definitions}, also_there, partials)
