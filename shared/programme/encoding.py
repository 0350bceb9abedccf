"""Bytes of a file into text: UTF-8 only, one kind of line end.

Line ends become LF, so that the same text has the same version on every machine.
"""

from __future__ import annotations

import codecs

from shared.programme.problems import FileProblems, Position


def text_of(data: bytes, problems: FileProblems) -> str | None:
    """The text; None, with the reason noted, when the bytes are not UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        problems.add(
            None, "this file is in UTF-16, not UTF-8", "in your editor: save with encoding UTF-8"
        )
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode("utf-8", "replace")) + 1
        wrong = data[error.start]
        problems.add(
            Position(line, column),
            f"not UTF-8: byte 0x{wrong:02x}{_perhaps(wrong)}",
            "in your editor: save with encoding UTF-8",
        )
        return None
    if "\0" in text:
        problems.add(
            Position(text.count("\n", 0, text.index("\0")) + 1),
            "a NUL byte inside: this is not a text file",
            "in your editor: save as plain text with encoding UTF-8",
        )
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _perhaps(byte: int) -> str:
    """What the byte would be in the encoding that office programs write by default."""
    try:
        return f' (perhaps "{bytes([byte]).decode("cp1252")}" in Windows-1252)'
    except UnicodeDecodeError:
        return ""
