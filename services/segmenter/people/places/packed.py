"""The postcodes of one first letter as one file: four sorted columns, read in place.

A file is mapped, not loaded, so processes share its pages and a lookup touches a few of them.
Layout, in the machine's own byte order: header (magic, rows, bytes of the code table), keys u64,
eastings u32, northings u32, authority numbers u16, then the code table as lines of text. Nothing
here knows where the rows come from or where the file is kept.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final

from services.segmenter.people.places.release import LetterRows

FORMAT: Final = 1
"""Part of the name of the cache: a change of layout must raise it."""

_HEADER = struct.Struct("=8sQQ")
_MAGIC = f"DSPCD{FORMAT:02}{sys.byteorder[0]}".encode("ascii")
_KEY: Final = "Q"
_METRES: Final = "I"
_NUMBER: Final = "H"
_COLUMN_BYTES = (8, 4, 4, 2)
_NO_GRID = 0xFFFFFFFF
_NO_AUTHORITY = 0


class DamagedFile(Exception):
    """Not a whole file of this layout; it can be built again."""


class UnsortedRows(Exception):
    """The rows are not in strictly ascending order, so they cannot be searched."""


def key_of(postcode: str) -> int:
    """A number that sorts as the text does; `postcode` is at most eight ASCII characters."""
    return int.from_bytes(postcode.encode("ascii"), "big")


def pack(rows: LetterRows) -> bytes:
    """The content of a file. Raises `UnsortedRows`."""
    keys = array(_KEY, map(key_of, rows.postcodes))
    if any(low >= high for low, high in pairwise(keys)):
        raise UnsortedRows("the postcodes are not in ascending order, or one is there twice")
    codes = sorted({code for code in rows.authorities if code is not None})
    numbers: dict[str | None, int] = {code: place for place, code in enumerate(codes, start=1)}
    numbers[None] = _NO_AUTHORITY
    absent = (_NO_GRID, _NO_GRID)
    table = "\n".join(codes).encode()
    return b"".join(
        (
            _HEADER.pack(_MAGIC, len(keys), len(table)),
            keys.tobytes(),
            array(_METRES, ((grid or absent)[0] for grid in rows.grid)).tobytes(),
            array(_METRES, ((grid or absent)[1] for grid in rows.grid)).tobytes(),
            array(_NUMBER, (numbers[code] for code in rows.authorities)).tobytes(),
            table,
        )
    )


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place at one stroke, so that no reader ever sees a part of it.

    When several processes write the same file the last one wins, and those that have mapped an
    earlier one go on reading that. A process killed here leaves a `.partial` file, never a wrong
    one.
    """
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


class PackedLetter:
    """A mapped file, searched in place. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Map the file. Raises `FileNotFoundError`, or `DamagedFile` when it is not whole."""
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise DamagedFile(f"{path} is empty") from error
        content = memoryview(self._map)
        if len(content) < _HEADER.size:
            raise DamagedFile(f"{path} has no header")
        magic, rows, table_bytes = _HEADER.unpack_from(content)
        starts = list(accumulate((rows * width for width in _COLUMN_BYTES), initial=_HEADER.size))
        table_at = starts[-1]
        if magic != _MAGIC or len(content) != table_at + table_bytes:
            raise DamagedFile(f"{path} is cut short or of another layout")
        keys, eastings, northings, numbers = (content[a:b] for a, b in pairwise(starts))
        self._keys = keys.cast(_KEY)
        self._eastings = eastings.cast(_METRES)
        self._northings = northings.cast(_METRES)
        self._numbers = numbers.cast(_NUMBER)
        self._codes: list[str | None] = [None, *bytes(content[table_at:]).decode().split("\n")]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key: int) -> int | None:
        """The place of the row with exactly this key."""
        place = bisect_left(self._keys, key)
        return place if place < len(self._keys) and self._keys[place] == key else None

    def span(self, low: int, high: int) -> range:
        """The places of all rows with `low <= key <= high`."""
        return range(bisect_left(self._keys, low), bisect_right(self._keys, high))

    def postcode(self, place: int) -> str:
        """Seven characters wide, at a place that `find` or `span` gave."""
        return self._keys[place].to_bytes(7, "big").decode("ascii")

    def authority(self, place: int) -> str | None:
        """The code as published, or None where blank."""
        return self._codes[self._numbers[place]]

    def grid(self, place: int) -> tuple[int, int] | None:
        """Easting and northing in metres, or None where the postcode was never placed."""
        easting = self._eastings[place]
        return None if easting == _NO_GRID else (easting, self._northings[place])
