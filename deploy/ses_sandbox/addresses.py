"""Whether SES would take an address, and the bare address inside `Name <address>`. Pure.

SES wants seven-bit addresses throughout: no SMTPUTF8 local parts, domains in Punycode, display
names as RFC 2047 encoded words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.utils import getaddresses
from typing import Final

from deploy.ses_sandbox.refusals import bad_request

_DOMAIN: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_DOMAIN}")
_QUOTED: Final = re.compile(rf'"[ !#-\[\]-~]+"@{_DOMAIN}')


def bare_address(text: str, field: str) -> str:
    """The address in `text`, which may carry a display name.

    Raises a BadRequestException that names the `field`, never the address.
    """
    found = text if len(text) <= 320 and _PLAIN.fullmatch(text) else _inside(text, field)
    if len(found.rpartition("@")[0]) > 64:
        raise bad_request(f"{field}: Local address is longer than 64 characters.")
    return found


def header_addresses(values: Sequence[str], field: str) -> list[str]:
    """All bare addresses of an address-list header. Raises a BadRequestException."""
    found = [address for _, address in getaddresses(list(values))] if values else []
    return [bare_address(address, field) for address in found]


def domain_of(address: str) -> str:
    """The part after the last `@`, in lower case."""
    return address.rpartition("@")[2].lower()


def _inside(text: str, field: str) -> str:
    if not text.isascii():
        raise bad_request(
            f"{field}: Non-ASCII characters in address. Use Punycode for the domain and RFC 2047"
            " for the display name."
        )
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise bad_request(f"{field}: Address contains control characters.")
    if len(text) > 900:
        raise bad_request(f"{field}: Address is longer than 900 characters.")
    pairs = getaddresses([text])
    found = pairs[0][1] if len(pairs) == 1 else ""
    if not found:
        raise bad_request(f"{field}: Illegal address.")
    local_part, at, domain = found.rpartition("@")
    if not at or not domain:
        raise bad_request(f"{field}: Missing final '@domain'.")
    if not local_part:
        raise bad_request(f"{field}: Missing local name.")
    if not (_PLAIN.fullmatch(found) or _QUOTED.fullmatch(found)):
        raise bad_request(f"{field}: Illegal address.")
    return found
