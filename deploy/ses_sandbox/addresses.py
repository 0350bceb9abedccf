"""Whether SES would take an address, and the bare address inside `Name <address>`. Pure.

SES wants seven-bit addresses throughout: no SMTPUTF8 local parts, domains in Punycode, display
names as RFC 2047 encoded words.
"""

from __future__ import annotations

import re
from email.utils import getaddresses
from typing import Final

from deploy.ses_sandbox.refusals import bad_request

MAX_LENGTH: Final = 900

_DOMAIN: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = rf'(?:{_ATOM}(?:\.{_ATOM})*|"[ !#-\[\]-~]+")'
_PLAIN: Final = re.compile(rf"{_LOCAL}@{_DOMAIN}")
# The usual written form; what does not match may still be right and is parsed in full.
_NAMED: Final = re.compile(
    rf'\s*(?:"([ !#-\[\]-~]*)"|({_ATOM}(?: {_ATOM})*))?\s*<({_ATOM}(?:\.{_ATOM})*@{_DOMAIN})>\s*'
)


def bare_address(text: str, field: str) -> str:
    """The address in `text`, which may carry a display name.

    Raises a BadRequestException that names the `field`, never the address.
    """
    if len(text) > MAX_LENGTH:
        raise bad_request(f"{field}: Address is longer than {MAX_LENGTH} characters.")
    if not text.isascii():
        raise bad_request(
            f"{field}: Non-ASCII characters in address. Use Punycode for the domain and RFC 2047"
            " for the display name."
        )
    if not text.isprintable():
        raise bad_request(f"{field}: Address contains control characters.")
    pairs = split_addresses(text)
    found = pairs[0][1] if len(pairs) == 1 else ""
    _require_valid(found, field)
    return found


def split_addresses(text: str) -> list[tuple[str, str]]:
    """(display name, address) of every address in the value of an address header."""
    if _PLAIN.fullmatch(text):
        return [("", text)]
    named = _NAMED.fullmatch(text)
    if named is not None:
        return [(named[1] or named[2] or "", named[3])]
    return getaddresses([text])


def domain_of(address: str) -> str:
    """The part after the last `@`, in lower case."""
    return address.rpartition("@")[2].lower()


def _require_valid(address: str, field: str) -> None:
    local_part, at, domain = address.rpartition("@")
    if not address:
        raise bad_request(f"{field}: Illegal address.")
    if not at or not domain:
        raise bad_request(f"{field}: Missing final '@domain'.")
    if not local_part:
        raise bad_request(f"{field}: Missing local name.")
    if len(local_part) > 64:
        raise bad_request(f"{field}: Local address is longer than 64 characters.")
    if not _PLAIN.fullmatch(address):
        raise bad_request(f"{field}: Illegal address.")
