"""A finished message around two bodies: headers, multipart/alternative, quoted-printable.

Assembled by hand because `EmailMessage` costs eight times as much; the tests hold it against
`EmailMessage` and the standard parser. ASCII only, CRLF line ends, no line over 76 characters in the
bodies (RFC 2045 6.7), nothing from outside can end a header line.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr
from functools import lru_cache

LONGEST_HEADER = 900
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class HeaderFault(ValueError):
    """A value that cannot stand in a header; the text names the header."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the headers of one message say. `boundary` must not occur in any body: begin it `=_`."""

    sender: str
    to: str
    reply_to: str
    subject: str
    date: str
    boundary: str
    extra: tuple[tuple[str, str], ...] = ()


def assemble(envelope: Envelope, text: str, html: str) -> str:
    """The whole message. Raises HeaderFault, or UnicodeEncodeError for lone surrogates."""
    head = [
        f"From: {envelope.sender}",
        f"To: {envelope.to}",
        f"Reply-To: {envelope.reply_to}",
        f"Subject: {header_text('Subject', envelope.subject)}",
        f"Date: {envelope.date}",
        *(f"{name}: {header_text(name, value)}" for name, value in envelope.extra),
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{envelope.boundary}"',
        "",
        "",
    ]
    boundary = envelope.boundary
    return (
        "\r\n".join(head)
        + f"--{boundary}\r\n{_part('plain')}{quoted_printable(text)}\r\n"
        + f"--{boundary}\r\n{_part('html')}{quoted_printable(html)}\r\n"
        + f"--{boundary}--\r\n"
    )


def quoted_printable(text: str) -> str:
    """UTF-8 as quoted-printable with CRLF line ends."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return binascii.b2a_qp(lines.encode(), istext=True).replace(b"\n", b"\r\n").decode("ascii")


def header_text(name: str, value: str) -> str:
    """The value as it may stand in a header: ASCII as it is, else RFC 2047 words, folded."""
    if CONTROL.search(value):
        raise HeaderFault(f"{name}: a line end or control character inside")
    if len(value) > LONGEST_HEADER:
        raise HeaderFault(f"{name}: {len(value)} characters are too many ({LONGEST_HEADER} at most)")
    if value.isascii() and "=?" not in value:
        return value
    return Header(value, "utf-8", header_name=name).encode(linesep="\r\n")


@lru_cache(maxsize=4_096)
def mailbox(name: str, address: str, header: str) -> str:
    """`Name <address>`, quoted or encoded as needed; the bare address without a name."""
    if CONTROL.search(name) or CONTROL.search(address) or not address.isascii():
        raise HeaderFault(f"{header}: a line end or control character inside")
    if len(name) > LONGEST_HEADER // 4:
        raise HeaderFault(f"{header}: a name of {len(name)} characters is too long")
    return formataddr((name.strip(), address), charset="utf-8")


def _part(subtype: str) -> str:
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
