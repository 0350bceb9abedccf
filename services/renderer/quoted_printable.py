"""Quoted-printable in pieces (RFC 2045 section 6.7): texts, values, and what they make together.

Every text and every value begins at the first column and is followed by a line end of its own or
by a soft break, so they are joined without a look at what stands before them. ASCII, CRLF line
ends, no line over 76 characters.

A line end inside of a value, whichever way it is spelled, is a line end of the mail.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence
from typing import Any, Final

from markupsafe import Markup, escape

SOFT_BREAK: Final = "=\r\n"
_LONGEST_LINE: Final = 76
_LONGEST_VALUE: Final = 72


class ReadyText(str):
    """A value of a text part that is written often: its encoded form comes with it."""

    __slots__ = ("encoded",)
    encoded: str


class ReadyMarkup(Markup):
    """The same for an HTML part; made of text, or of Markup."""

    __slots__ = ("encoded",)
    encoded: str


def ready_text(text: str) -> ReadyText:
    """Raises UnicodeEncodeError for lone surrogates."""
    value = ReadyText(text)
    value.encoded = encoded(text)
    return value


def ready_markup(text: str, known: ReadyText | None = None) -> ReadyMarkup:
    """Escaped, unless it is Markup. Raises UnicodeEncodeError for lone surrogates.

    `known` is the same text ready for a text part: what needs no escape is not encoded again.
    """
    value: ReadyMarkup = str.__new__(ReadyMarkup, escape(text))
    value.encoded = known.encoded if known is not None and str(value) == known else encoded(value)
    return value


def encoded(text: str) -> str:
    """One piece: ASCII, CRLF line ends, no line over 76 characters, the last one broken softly.

    Raises UnicodeEncodeError for lone surrogates.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Line by line: at once, it makes a line too long that ends in a space near the last column.
    lines = [binascii.b2a_qp(line.encode(), istext=True) for line in text.split("\n")]
    piece = b"\n".join(lines).replace(b"\n", b"\r\n").decode("ascii")
    if not piece or piece.endswith("\n"):
        return piece
    if len(piece) - piece.rfind("\n") - 1 == _LONGEST_LINE:
        last = -3 if piece[-3] == "=" else -1
        return piece[:last] + SOFT_BREAK + piece[last:] + SOFT_BREAK
    return piece + SOFT_BREAK


def values_text(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Values written by a text part, without the soft break that follows each.

    One look at all of them together is enough for most names, places and times.
    """
    try:
        together = "".join(values)
    except TypeError:  # not all of them are strings
        together = "="
    if (
        together.isascii()
        and together.isprintable()
        and "=" not in together
        and (len(together) <= _LONGEST_VALUE or max(map(len, values)) <= _LONGEST_VALUE)
    ):
        return values
    return tuple([value_text(value) for value in values])


def values_html(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Values written by an HTML part, escaped unless they are Markup; as `values_text`."""
    try:
        together = "".join(values)
    except TypeError:  # not all of them are strings
        return values_text(tuple([str(escape(value)) for value in values]))
    if "&" in together or "'" in together or "<" in together or ">" in together or '"' in together:
        values = tuple([_escaped(value) for value in values])
    return values_text(values)


def value_text(value: object) -> str:
    """One value, likewise."""
    text = value if type(value) is str else str(value)
    if text.isascii() and text.isprintable() and "=" not in text and len(text) <= _LONGEST_VALUE:
        return text
    return encoded(text).removesuffix(SOFT_BREAK)


def _escaped(value: str) -> str:
    """As `markupsafe.escape` does it, without making Markup of it."""
    if type(value) is not str:
        return str(escape(value))
    return (
        value.replace("&", "&amp;")
        .replace(">", "&gt;")
        .replace("<", "&lt;")
        .replace("'", "&#39;")
        .replace('"', "&#34;")
    )


def written_text(value: object) -> str:
    """A value of READY written by a text part, with what follows it."""
    return value.encoded if type(value) is ReadyText else value_text(value) + SOFT_BREAK


def written_html(value: object) -> str:
    """A value of READY written by an HTML part, with what follows it."""
    return value.encoded if type(value) is ReadyMarkup else values_html((value,))[0] + SOFT_BREAK


def shows(pieces: Sequence[str], value: ReadyText | ReadyMarkup) -> bool:
    """Whether the value stands in encoded output: written by itself, or within something else."""
    alone = value.encoded.removesuffix(SOFT_BREAK)
    for piece in reversed(pieces):  # what must be there stands at the end of most mails
        if alone in piece:
            return True
    return str(value) in decoded(pieces)


def decoded(pieces: Iterable[str]) -> str:
    """What was encoded, with LF line ends."""
    return binascii.a2b_qp("".join(pieces)).decode().replace("\r\n", "\n")


def ended(pieces: list[str]) -> list[str]:
    """The pieces of a whole part, without the last soft break: no more follows it."""
    while pieces:
        if last := pieces.pop().removesuffix(SOFT_BREAK):
            if last.endswith(" "):  # at the end of a line it would be lost on the way
                last = f"{last[:-1]}=20"
            pieces.append(last)
            break
    return pieces
