"""A finished message around two encoded parts: headers and multipart/alternative.

Assembled by hand because `EmailMessage` costs some thirty times as much; the tests hold it against
`EmailMessage` and the standard parser. ASCII only, CRLF line ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.renderer.headers import header_text

BOUNDARY: Final = "=_doorstep"
"""Never inside of a part: quoted-printable has no `=_`."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What the messages of a variant have in common, in the order it stands in them.

    `sender`: the mailbox of From, ready for the header. `above`: headers that come first; `below`:
    all from the last headers to the text part; then what is between the parts, and the end.
    """

    sender: str
    above: str
    below: str
    between: str
    end: str


def skeleton(sender: str, extra: Iterable[tuple[str, str]]) -> Skeleton:
    """`extra`: other headers with the same values in every mail. Raises HeaderFault."""
    others = "".join(f"{name}: {header_text(name, value)}\r\n" for name, value in extra)
    return Skeleton(
        sender=sender,
        above=f"From: {sender}\r\n",
        below=f"{others}"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        "MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/alternative; boundary="{BOUNDARY}"\r\n'
        "\r\n"
        f"--{BOUNDARY}\r\n{_part_headers('plain')}",
        between=f"\r\n--{BOUNDARY}\r\n{_part_headers('html')}",
        end=f"\r\n--{BOUNDARY}--\r\n",
    )


def assemble(
    frame: Skeleton,
    *,
    to: str,
    reply_to: str,
    subject: str,
    date: str,
    unsubscribe_url: str,
    text: list[str],
    html: list[str],
) -> str:
    """The whole message. Raises HeaderFault.

    `to` and `reply_to` are ready for the header (`mailbox`), `text` and `html` quoted-printable, in
    pieces.
    """
    top = (
        f"{frame.above}"
        f"To: {to}\r\n"
        f"Reply-To: {reply_to}\r\n"
        f"Subject: {header_text('Subject', subject)}\r\n"
        f"Date: {date}\r\n"
        f"List-Unsubscribe: {header_text('List-Unsubscribe', f'<{unsubscribe_url}>')}\r\n"
        f"{frame.below}"
    )
    return "".join([top, *text, frame.between, *html, frame.end])


def _part_headers(subtype: str) -> str:
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
