"""A finished message around two bodies: headers, multipart/alternative, quoted-printable.

Assembled by hand because `EmailMessage` costs eight times as much; the tests hold it against
`EmailMessage` and the standard parser. ASCII only, CRLF line ends, no line over 76 characters in
the bodies (RFC 2045 section 6.7).
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.renderer.headers import header_text

LONGEST_REMEMBERED: Final = 2_000
"""Characters of a line worth keeping encoded: a page on one line is another page every time."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers of one message say. The mailboxes are ready for the header (`mailbox`).

    `boundary` must not occur in any body: begin it `=_`, which quoted-printable never makes.
    """

    sender: str
    to: str
    reply_to: str
    subject: str
    date: str
    boundary: str
    extra: tuple[tuple[str, str], ...] = ()


def assemble(envelope: Envelope, text: str, html: str) -> str:
    """The whole message. Raises HeaderFault, or UnicodeEncodeError for lone surrogates."""
    boundary = envelope.boundary
    extra = "".join(f"{name}: {header_text(name, value)}\r\n" for name, value in envelope.extra)
    return (
        f"From: {envelope.sender}\r\n"
        f"To: {envelope.to}\r\n"
        f"Reply-To: {envelope.reply_to}\r\n"
        f"Subject: {header_text('Subject', envelope.subject)}\r\n"
        f"Date: {envelope.date}\r\n"
        f"{extra}"
        "MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n'
        "\r\n"
        f"--{boundary}\r\n{_PLAIN}{quoted_printable(text)}\r\n"
        f"--{boundary}\r\n{_HTML}{quoted_printable(html)}\r\n"
        f"--{boundary}--\r\n"
    )


def quoted_printable(text: str) -> str:
    """UTF-8 as quoted-printable with CRLF line ends. Raises UnicodeEncodeError."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "\r\n".join(
        [
            _remembered(line) if len(line) <= LONGEST_REMEMBERED else _encoded(line)
            for line in text.split("\n")
        ]
    )


def _encoded(line: str) -> str:
    encoded = binascii.b2a_qp(line.encode(), istext=True)
    return encoded.replace(b"\n", b"\r\n").decode("ascii")


_remembered = lru_cache(maxsize=8_192)(_encoded)
"""Lines are encoded independently, and most lines of a mail are those of its template."""


def _part_headers(subtype: str) -> str:
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )


_PLAIN: Final = _part_headers("plain")
_HTML: Final = _part_headers("html")
