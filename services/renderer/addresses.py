"""Mailboxes as they may stand in From, To and Reply-To: a name, quoted or encoded, and an address.

Names come from supporters and area data; no name and no address can add a second address or end
the header line.
"""

from __future__ import annotations

import re
from functools import lru_cache

from services.renderer.headers import CONTROL, HeaderFault, encoded_words

LONGEST_NAME = 225
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_TO_BE_ESCAPED = re.compile(r'([\\"])')


@lru_cache(maxsize=4_096)
def mailbox(name: str, address: str, header: str) -> str:
    """`Name <address>` for the header so called; the bare address without a name.

    A domain in other scripts is spelled in IDNA. Raises HeaderFault, naming the header.
    """
    if CONTROL.search(name):
        raise HeaderFault(f"{header}: a line end or control character inside of the name")
    if len(name) > LONGEST_NAME:
        raise HeaderFault(f"{header}: a name of {len(name)} characters is too long")
    address = _spelled(address, header)
    name = name.strip()
    if not name:
        return address
    if not name.isascii() or "=?" in name:
        words = encoded_words(header, name)
        last = words.rpartition("\r\n")[2]
        room = len(header) + 2 if last == words else 0
        fits = room + len(last) + len(address) + 3 <= 76
        return f"{words} <{address}>" if fits else f"{words}\r\n <{address}>"
    if _PLAIN_NAME.fullmatch(name):
        return f"{name} <{address}>"
    quoted = _TO_BE_ESCAPED.sub(r"\\\1", name)
    return f'"{quoted}" <{address}>'


def _spelled(address: str, header: str) -> str:
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            address = f"{local}@{domain.encode('idna').decode('ascii')}"
        except UnicodeError as error:
            raise HeaderFault(f"{header}: the domain of the address is not a valid one") from error
    if not _ADDRESS.fullmatch(address):
        raise HeaderFault(f"{header}: not one plain mail address (name@domain)")
    return address
