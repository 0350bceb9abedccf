"""Values as they may stand in a header line. Nothing that comes from outside can end the line."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final

LONGEST_VALUE: Final = 900
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_LINE: Final = 76
_WORD_FRAME: Final = len("=?utf-8?b?") + len("?=")


class HeaderFault(ValueError):
    """A value that cannot stand in a header; the text names the header, never the value."""


def header_text(name: str, value: str) -> str:
    """The value for the header so called: ASCII as it is, else RFC 2047 words, folded.

    Raises HeaderFault for control characters, lone surrogates and what is too long.
    """
    if CONTROL.search(value):
        raise HeaderFault(f"{name}: a line end or control character inside")
    if len(value) > LONGEST_VALUE:
        raise HeaderFault(f"{name}: {len(value)} characters are too many ({LONGEST_VALUE} at most)")
    if value.isascii() and "=?" not in value:
        return value
    return encoded_words(name, value)


def encoded_words(name: str, value: str) -> str:
    """UTF-8 in base64, in words of at most 75 characters, one a line (RFC 2047 sections 2 and 4.1).

    No character is divided between two words (section 5). `name` is that of the header, since the
    first word shares its line.
    """
    words: list[str] = []
    room = _bytes_in(_LINE - len(name) - 2)
    word = b""
    for character in value:
        encoded = character.encode()
        if len(word) + len(encoded) > room:
            words.append(_word(word))
            word, room = b"", _bytes_in(_LINE - 1)
        word += encoded
    words.append(_word(word))
    return "\r\n ".join(words)


def _bytes_in(columns: int) -> int:
    """How many bytes fit a word that may take so many columns."""
    return (columns - _WORD_FRAME) // 4 * 3


def _word(content: bytes) -> str:
    return f"=?utf-8?b?{b64encode(content).decode('ascii')}?="
