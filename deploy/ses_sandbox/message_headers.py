"""The header block of a raw message: read, checked as SES checks it, and thinned out. Pure.

Rules: SES's list of header fields that may stand only once, its limit on line length (RFC 5321:
1,000 octets with the line end), and RFC 5322 for the shape of the block.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from deploy.ses_sandbox.refusals import bad_request

MAX_LINE: Final = 998
MAX_MESSAGE_BYTES: Final = 40 * 1024 * 1024  # in base64, as it travels

_NAME: Final = re.compile(r"[!-9;-~]+")
_BOUNDARY: Final = re.compile(r'boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;]{1,70}))', re.IGNORECASE)

# The fields that SES lets stand only once in a message (AWS, "Amazon SES header fields").
_ONCE: Final = """
    Accept-Language acceptLanguage Archived-At Auto-Submitted Bounces-to Comments
    Content-Alternative Content-Base Content-Class Content-Description Content-Disposition
    Content-Duration Content-ID Content-Language Content-Length Content-Location Content-MD5
    Content-Transfer-Encoding Content-Type Date Delivered-To Disposition-Notification-Options
    Disposition-Notification-To DKIM-Signature DomainKey-Signature Errors-To From Importance
    In-Reply-To Keywords List-Archive List-Help List-Id List-Owner List-Post List-Subscribe
    List-Unsubscribe List-Unsubscribe-Post Message-Context Message-ID MIME-Version Organization
    Original-From Original-Message-ID Original-Recipient Original-Subject Precedence Priority
    References Reply-To Return-Path Return-Receipt-To Sender Solicitation Sensitivity Subject
    Thread-Index Thread-Topic User-Agent VBR-Info
"""
ONLY_ONCE: Final = frozenset(_ONCE.lower().split())

# SES replaces the first three, never shows Bcc, and obeys and removes the two of its own.
TAKEN_OUT: Final = frozenset(
    ("date", "message-id", "return-path", "bcc", "x-ses-configuration-set", "x-ses-message-tags")
)


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A checked message. `headers` are all originals, unfolded; `content` is what goes out."""

    headers: tuple[tuple[str, str], ...]
    content: bytes
    line_end: bytes

    def values(self, name: str) -> list[str]:
        """All values of a header field, by name in lower case."""
        return [value for found, value in self.headers if found.lower() == name]


def read_raw_message(data: bytes) -> RawMessage:
    """Check a raw message as SES does and take out the headers that SES does not pass on.

    Raises a BadRequestException that names the header or the kind of fault.
    """
    if (len(data) + 2) // 3 * 4 > MAX_MESSAGE_BYTES:
        raise bad_request(f"Message length is more than {MAX_MESSAGE_BYTES} bytes long.")
    end = _end_of_headers(data)
    lines = _header_lines(data[:end])
    headers = tuple((name, _unfold(folded)) for name, folded in lines)
    _check_once(headers)
    _check_line_length(data)
    _check_multipart(headers, data, end)
    line_end = b"\r\n" if b"\r\n" in data[: end + 2] else b"\n"
    if any(name.lower() in TAKEN_OUT for name, _ in headers):
        kept = [folded for name, folded in lines if name.lower() not in TAKEN_OUT]
        content = "".join(kept).encode("ascii") + data[end:]
    else:
        content = data
    return RawMessage(headers, content, line_end)


def _end_of_headers(data: bytes) -> int:
    """Where the blank line starts that ends the headers."""
    with_cr = data.find(b"\r\n\r\n")
    without_cr = data.find(b"\n\n", 0, with_cr if with_cr >= 0 else len(data))
    if without_cr >= 0:
        return without_cr + 1
    if with_cr >= 0:
        return with_cr + 2
    raise bad_request("The message needs a header, a blank line and a body.")


def _header_lines(block: bytes) -> list[tuple[str, str]]:
    """(name, the field with its folds and line ends) for each field of the block."""
    try:
        text = block.decode("ascii")
    except UnicodeDecodeError as error:
        number = block.count(b"\n", 0, error.start) + 1
        raise bad_request(
            f"Header line {number} holds non-ASCII characters; encode them by RFC 2047."
        ) from None
    fields: list[tuple[str, str]] = []
    for number, bare in enumerate(text.split("\n")[:-1], 1):
        if "\r" in bare[:-1] or "\0" in bare:
            raise bad_request(f"Header line {number} contains control characters.")
        line = bare + "\n"
        if line[0] in " \t":
            if not fields:
                raise bad_request("The message starts with a folded line.")
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
            continue
        name, colon, _ = line.partition(":")
        if not name:
            raise bad_request("Empty header names are illegal.")
        if not colon or not _NAME.fullmatch(name):
            raise bad_request(f"Header line {number} is not of the form 'Name: value'.")
        fields.append((name, line))
    return fields


def _unfold(folded: str) -> str:
    return folded.partition(":")[2].replace("\r", "").replace("\n", "").strip()


def _check_once(headers: tuple[tuple[str, str], ...]) -> None:
    counts = Counter(name.lower() for name, _ in headers)
    for name, _ in headers:
        if counts[name.lower()] > 1 and name.lower() in ONLY_ONCE:
            raise bad_request(f"Duplicate header '{name}'.")
    if "from" not in counts:
        raise bad_request("Missing required header 'From'.")
    if "x-ses-list-management-options" in counts:
        raise bad_request("The sandbox does not offer X-SES-LIST-MANAGEMENT-OPTIONS.")


def _check_line_length(data: bytes) -> None:
    """Leap from line end to line end, never further than a line may reach."""
    start = 0
    while len(data) - start > MAX_LINE:
        last = data.rfind(b"\n", start, start + MAX_LINE + 1)
        if last < 0:
            if data[start + MAX_LINE : start + MAX_LINE + 2] != b"\r\n":
                raise bad_request(f"A line of the message is longer than {MAX_LINE} characters.")
            last = start + MAX_LINE + 1
        start = last + 1


def _check_multipart(headers: tuple[tuple[str, str], ...], data: bytes, end: int) -> None:
    for name, value in headers:
        if name.lower() != "content-type" or not value.lower().startswith("multipart/"):
            continue
        found = _BOUNDARY.search(value)
        if found is None:
            raise bad_request("Content-Type: multipart without a boundary.")
        boundary = b"--" + (found[1] or found[2]).encode("ascii")
        if data.find(boundary, end) < 0 or data.find(boundary + b"--", end) < 0:
            raise bad_request("The multipart body does not open and close with its boundary.")
