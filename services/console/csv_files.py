"""Files of rows as spreadsheets and other systems write them: encoding, delimiter, lines.

Reads and refuses; what a column means is decided elsewhere. A file is read as a stream, twice at
most, so that its size does not matter. Every refusal names the line, and the byte where it is one.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import Misconfigured

DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab"}
CHUNK: Final = 1 << 20
LONGEST_ROW_LINES: Final = 50
"""A quoted cell over more lines than this is a quote that was never closed."""

_EXCEL_HINT: Final = "sep="


class BadFile(Misconfigured):
    """A file that cannot be read as rows at all."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `line` is where it begins, counted from 1; cells are trimmed."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why."""

    line: int
    cells: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file that is known to be text with a header. `skipped`: lines before the header."""

    path: Path
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    skipped: int = 0

    def rows(self) -> Iterator[Row | BadRow]:
        """Every row below the header that is not empty. Raises BadFile for a lost quote."""
        with self.path.open(encoding=self.encoding, newline="") as stream:
            for _ in range(self.skipped):
                stream.readline()
            yield from self._rows(csv.reader(stream, delimiter=self.delimiter, strict=True))

    def _rows(self, reader: Iterator[list[str]]) -> Iterator[Row | BadRow]:
        beginning = True
        while True:
            line = self.skipped + reader.line_num + 1  # type: ignore[attr-defined]
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                last = self.skipped + reader.line_num  # type: ignore[attr-defined]
                if last > line:
                    raise self._lost_quote(line, last) from error
                yield BadRow(line, (), f"not CSV: {error}; look for a lost quote")
                continue
            last = self.skipped + reader.line_num  # type: ignore[attr-defined]
            if last - line >= LONGEST_ROW_LINES:
                raise self._lost_quote(line, last)
            if beginning:
                beginning = False
                continue
            found = _row(line, last, cells, len(self.header))
            if found is not None:
                yield found

    def _lost_quote(self, line: int, last: int) -> BadFile:
        return BadFile(
            f"{self.path}:{line}: a quote is opened in this row and not closed before line {last}: "
            "close it, or double it where it is meant"
        )


def open_csv(path: Path, encoding: str | None = None) -> CsvFile:
    """The file, looked through for its encoding and read to its header. Raises BadFile."""
    used = _checked_encoding(path, encoding)
    with path.open(encoding=used, newline="") as stream:
        first = stream.readline()
        skipped = 0
        delimiter = None
        if first.strip().lower().startswith(_EXCEL_HINT) and len(first.strip()) == 5:
            delimiter, skipped = first.strip()[-1], 1
            first = stream.readline()
        if not first.strip():
            line = skipped + 1
            raise BadFile(f"{path}:{line}: the first line must name the columns, and is empty")
        delimiter = delimiter or _delimiter(first)
        try:
            header = next(csv.reader([first], delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise BadFile(f"{path}:{skipped + 1}: the first line is not CSV: {error}") from error
    return CsvFile(path, used, delimiter, _header(path, skipped + 1, header), skipped)


def _row(line: int, last: int, cells: list[str], columns: int) -> Row | BadRow | None:
    trimmed = [cell.strip() for cell in cells]
    while len(trimmed) > columns and not trimmed[-1]:
        trimmed.pop()
    if not any(trimmed):
        return None
    if len(trimmed) == columns:
        return Row(line, tuple(trimmed))
    over = f", over lines {line} to {last}" if last > line else ""
    reason = f"{len(trimmed)} cells{over}, and the first line names {columns} columns"
    hint = "put a cell with the delimiter inside in quotes" if len(trimmed) > columns else ""
    return BadRow(line, tuple(trimmed), f"{reason}: {hint}" if hint else reason)


def _header(path: Path, line: int, cells: list[str]) -> tuple[str, ...]:
    header = [cell.strip() for cell in cells]
    while header and not header[-1]:
        header.pop()
    for index, name in enumerate(header):
        if not name:
            raise BadFile(f"{path}:{line}: column {index + 1} has no name: name it, or delete it")
        if name in header[:index]:
            raise BadFile(f'{path}:{line}: two columns are called "{name}": rename one')
    return tuple(header)


def _delimiter(line: str) -> str:
    """The one that stands most often outside quotes in the first line; a comma when none does."""
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=lambda each: (outside.count(each), each == ","))


def _checked_encoding(path: Path, encoding: str | None) -> str:
    """The encoding to read by, every byte of the file known to fit it."""
    if encoding is not None:
        try:
            info = codecs.lookup(encoding)
            "".encode(info.name)
        except LookupError as error:
            raise BadFile(
                f'--encoding: there is no text encoding "{encoding}"; '
                "try utf-8, cp1252 (Windows), mac_roman or utf-16"
            ) from error
        _decode_all(path, "utf-8-sig" if info.name == "utf-8" else info.name)
        return "utf-8-sig" if info.name == "utf-8" else info.name
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror or error}") from error
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadFile(
            f'{path}: this file is in UTF-16 (Excel calls it "Unicode text"), not UTF-8: '
            'save it as "CSV UTF-8", or say --encoding utf-16'
        )
    _decode_all(path, "utf-8-sig")
    return "utf-8-sig"


def _decode_all(path: Path, encoding: str) -> None:
    """Raises BadFile at the first byte that does not fit, or for a NUL."""
    # A mark at the beginning is a character like any other here, so that bytes are counted right.
    decoder = codecs.getincrementaldecoder("utf-8" if encoding == "utf-8-sig" else encoding)()
    place, line, kept = 0, 1, b""
    try:
        with path.open("rb") as stream:
            while True:
                chunk = stream.read(CHUNK)
                whole = kept + chunk
                try:
                    text = decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    raise _wrong_byte(path, encoding, error, place, line) from error
                if "\0" in text:
                    where = line + text.count("\n", 0, text.index("\0"))
                    raise BadFile(
                        f"{path}:{where}: a NUL byte inside: this is not a text file of rows; "
                        "export it again as CSV"
                    )
                line += text.count("\n")
                pending = decoder.getstate()[0]
                place += len(whole) - len(pending)
                kept = pending
                if not chunk:
                    break
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror or error}") from error
    if place == 0:
        raise BadFile(f"{path}: this file is empty")


def _wrong_byte(
    path: Path, encoding: str, error: UnicodeDecodeError, place: int, line: int
) -> BadFile:
    """`place` and `line` are those of the first byte of what was being decoded."""
    before = error.object[: error.start]
    at_line = line + before.count(b"\n")
    wrong = error.object[error.start]
    likely = bytes([wrong]).decode("cp1252", "ignore") if wrong >= 0x80 else ""
    guess = f' (in Windows-1252 it would be "{likely}")' if likely.isprintable() and likely else ""
    name = "UTF-8" if encoding == "utf-8-sig" else encoding
    advice = 'save it as "CSV UTF-8", or say --encoding cp1252 if it comes from Windows'
    if name != "UTF-8":
        advice = "give the encoding it was really saved with"
    return BadFile(
        f"{path}:{at_line}: byte {place + error.start:,} is 0x{wrong:02x}{guess}, "
        f"which is not {name}: {advice}"
    )
