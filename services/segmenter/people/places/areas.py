"""Resolves a postcode to a `Place`: the areas it lies in, and a point where there is one.

A postcode that the directory does not hold still has a sector and a district, because its
spelling says so; whether to trust them is for the reader of `status`. Areas are keyed by kind and
code. Names are not given here: they repeat, and the directory does not carry them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from services.segmenter.people.places.coordinates import GridReader, Point
from services.segmenter.people.places.directory import Directory, Known
from services.segmenter.people.places.postcode import MalformedPostcode, Postcode, parse

AreaKind: TypeAlias = Literal["postcode_sector", "postcode_district", "local_authority"]
"""The kinds of area that a postcode alone decides."""

Status: TypeAlias = Literal["known", "unknown", "malformed"]
"""`known`: in the directory; `unknown`: well-formed, not there; `malformed`: not a postcode."""

UNKNOWN_REASON: Final = (
    "the spelling is right, but the directory has no such postcode: "
    "it is newer than the directory, mistyped, or belongs to no place on the map"
)


class AreaRef(NamedTuple):
    """One area, as a key: `("local_authority", "S12000014")`."""

    kind: AreaKind
    code: str


@dataclass(frozen=True, slots=True)
class Place:
    """What a postcode says about where someone is.

    `postcode` is canonical, None when malformed. `areas` run from the smallest. `latitude` and
    `longitude` are WGS 84 degrees, both given or both None. `reason` is None when known; it is for
    the person who typed the postcode and may quote it, so it stays out of logs.
    """

    postcode: str | None
    areas: tuple[AreaRef, ...]
    latitude: float | None
    longitude: float | None
    status: Status
    reason: str | None


class Resolver:
    """Resolves postcodes against one directory. Safe to share between threads."""

    def __init__(self, directory: Directory, grid_reader: GridReader) -> None:
        self._directory = directory
        self._grid_reader = grid_reader

    def resolve(self, text: str) -> Place:
        """The place of one postcode, in any spelling. For more than one, `resolve_many`."""
        return self.resolve_many((text,))[0]

    def resolve_many(self, texts: Iterable[str]) -> list[Place]:
        """One place for each text, in the same order; no text raises."""
        spellings = [_read(text) for text in texts]
        rows = [self._row(spelling) for spelling in spellings]
        points = self._grid_reader.points(rows)
        return [
            place_of(spelling, row, point)
            for spelling, row, point in zip(spellings, rows, points, strict=True)
        ]

    def _row(self, spelling: Postcode | MalformedPostcode) -> Known | None:
        return self._directory.lookup(spelling) if isinstance(spelling, Postcode) else None


def place_of(
    spelling: Postcode | MalformedPostcode, row: Known | None, point: Point | None
) -> Place:
    """Put together what the spelling, the directory and the grid have said. Pure."""
    if isinstance(spelling, MalformedPostcode):
        return Place(None, (), None, None, "malformed", spelling.reason)
    areas: tuple[AreaRef, ...] = (
        AreaRef("postcode_sector", spelling.sector),
        AreaRef("postcode_district", spelling.district),
    )
    if row is None:
        return Place(spelling.canonical, areas, None, None, "unknown", UNKNOWN_REASON)
    code = row.local_authority
    if code is not None and names_an_area(code):
        areas = (*areas, AreaRef("local_authority", code))
    latitude, longitude = point if point is not None else (None, None)
    return Place(spelling.canonical, areas, latitude, longitude, "known", None)


def names_an_area(code: str) -> bool:
    """Whether an ONS code is of a real area of the United Kingdom.

    Codes that end in 99999999 say "there is none here", and those that begin with L or M stand
    for the Channel Islands and the Isle of Man, which have no authority in this scheme.
    """
    return bool(code.strip()) and not code.endswith("99999999") and code[0] not in "LM"


def _read(text: str) -> Postcode | MalformedPostcode:
    try:
        return parse(text)
    except MalformedPostcode as malformed:
        return malformed
