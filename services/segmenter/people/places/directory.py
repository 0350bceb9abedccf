"""Looks postcodes up in the ONS Postcode Directory, every one ever given in the United Kingdom.

The directory does not say which postcodes were terminated, so what it holds is *known*, not
*live*. The published files are packed once into a cache directory, letter by letter as letters
are asked for, and read in place from there: nothing is kept in memory and nothing is written
after. What the codes mean is no concern of this file; they are given as published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.segmenter.people.places.packed import (
    FORMAT,
    DamagedFile,
    PackedLetter,
    UnsortedRows,
    key_of,
    pack,
    write_whole,
)
from services.segmenter.people.places.postcode import Postcode
from services.segmenter.people.places.release import (
    LetterFile,
    Release,
    ReleaseUnreadable,
    installed_release,
    read_rows,
)
from shared.errors import Misconfigured

ATTRIBUTION: Final = (
    "Source: Office for National Statistics licensed under the Open Government Licence v.3.0. "
    "Contains OS data © Crown copyright and database right 2025. "
    "Contains Royal Mail data © Royal Mail copyright and database right 2025."
)
"""The licence asks that this be shown wherever the data is used."""

_PREFIX = re.compile("[A-Z0-9]{0,4}|[A-Z0-9]{2,4} (?:[0-9][A-Z]{0,2})?")


class CacheUnusable(Misconfigured):
    """The cache directory cannot be read or written; another must be given."""


@dataclass(frozen=True, slots=True)
class Known:
    """A row of the directory.

    `local_authority` is the code as published, pseudo codes too, or None where blank. `grid` is
    (easting, northing) in metres, on the Irish Grid for BT and the British National Grid
    elsewhere, or None where the postcode was never placed.
    """

    postcode: Postcode
    local_authority: str | None
    grid: tuple[int, int] | None


class Directory:
    """All known postcodes of one release. Safe to share between threads and processes."""

    def __init__(self, release: Release, cache_dir: Path) -> None:
        """Nothing is opened yet. The cache is kept apart by release and by layout."""
        self.release = release.version
        self.letters = tuple(sorted(release.files))
        self._files = release.files
        self._cache = cache_dir / f"postcodes-{release.version}-layout-{FORMAT}"
        self._letters: dict[str, PackedLetter] = {}

    @classmethod
    def open(cls, cache_dir: Path) -> Directory:
        """The directory that is installed beside us. Raises `ReleaseNotInstalled`."""
        return cls(installed_release(), cache_dir)

    def lookup(self, postcode: Postcode) -> Known | None:
        """The row of a postcode, or None when the release does not hold it.

        The first lookup of a letter may pack it, which can raise `ReleaseUnreadable` or
        `CacheUnusable`.
        """
        rows = self._rows(postcode.outward[0])
        if rows is None:
            return None
        place = rows.find(key_of(f"{postcode.outward:<4}{postcode.inward}"))
        if place is None:
            return None
        return Known(postcode, rows.authority(place), rows.grid(place))

    def lookup_many(self, postcodes: Iterable[Postcode]) -> list[Known | None]:
        """One answer for each postcode asked, in the same order."""
        return [self.lookup(postcode) for postcode in postcodes]

    def postcodes(self, prefix: str = "") -> Iterator[Known]:
        """Every row whose canonical spelling begins with `prefix`, always in the same order.

        The prefix is plain text: `FK` is the area, `FK1` also takes in FK10 to FK19, `FK1 ` (with
        the space) is that district alone and `FK2 7` a sector. The order is that of the
        directory: letter by letter, so FK10 stands between FK1 and FK2.
        """
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{prefix!r} begins no postcode: write it as in 'FK', 'FK2 ', 'FK2 7'")
        outward, space, inward = prefix.partition(" ")
        start = f"{outward:<4}{inward}" if space else outward
        low = key_of(start.ljust(7, "\x00"))
        high = key_of(start.ljust(7, "\x7f"))
        for letter in (start[0],) if start else self.letters:
            rows = self._rows(letter)
            if rows is not None:
                yield from (_known(rows, place) for place in rows.span(low, high))

    def count(self, letter: str) -> int:
        """How many postcodes begin with this letter."""
        rows = self._rows(letter)
        return 0 if rows is None else len(rows)

    def _rows(self, letter: str) -> PackedLetter | None:
        rows = self._letters.get(letter)
        if rows is None and letter in self._files:
            # Two threads may both come here: each maps the same bytes, and one map is dropped.
            rows = self._letters[letter] = self._mapped(letter)
        return rows

    def _mapped(self, letter: str) -> PackedLetter:
        path = self._cache / f"{letter}.rows"
        try:
            try:
                return PackedLetter(path)
            except (FileNotFoundError, DamagedFile):
                content = _packed(self._files[letter])
                self._cache.mkdir(parents=True, exist_ok=True)
                write_whole(path, content)
                return PackedLetter(path)
        except OSError as error:
            raise CacheUnusable(
                f"postcodes cannot be kept in {self._cache} ({error.strerror}): "
                "give a cache directory that can be read and written"
            ) from error


def census(directory: Directory) -> dict[str, int]:
    """How many postcodes each first letter has; packs every letter that is not packed yet."""
    return {letter: directory.count(letter) for letter in directory.letters}


def _known(rows: PackedLetter, place: int) -> Known:
    wide = rows.postcode(place)
    postcode = Postcode(wide[:4].rstrip(), wide[4:])
    return Known(postcode, rows.authority(place), rows.grid(place))


def _packed(file: LetterFile) -> bytes:
    try:
        return pack(read_rows(file))
    except UnsortedRows as error:
        raise ReleaseUnreadable(f"{file.path}: {error}") from error
