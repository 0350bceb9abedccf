"""Identifiers and how each is derived.

Every id that could be made twice (a retry, a replay, a second import) is derived from what it
names, so that the second making gives the same id. Nothing here reads a store or a clock.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
import uuid
from typing import NewType

SupporterId = NewType("SupporterId", str)
AddressKey = NewType("AddressKey", str)
MessageId = NewType("MessageId", str)
SendId = NewType("SendId", str)

_MESSAGES = uuid.UUID("6f6c1b1e-5c57-5d0e-9a62-6d6573736167")
_EVENTS = uuid.UUID("6f6c1b1e-5c57-5d0e-9a62-6576656e7473")


class BadAddress(ValueError):
    """An e-mail address that cannot be one; the text says why."""


def normalise_address(address: str) -> str:
    """The one spelling of an address: trimmed, NFKC, case folded, domain in IDNA; plus-tags kept.

    Raises BadAddress when there is no local part, no domain, white space inside, or the local
    part is not ASCII (SES takes no SMTPUTF8).
    """
    text = unicodedata.normalize("NFKC", address).strip().strip("<>").casefold()
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise BadAddress("no name@domain")
    if any(ch.isspace() or ord(ch) < 33 for ch in text) or "@" in local:
        raise BadAddress("white space, a control character or two @ inside")
    if not local.isascii():
        raise BadAddress("letters before the @ that mail systems cannot carry")
    if any(ch in '()<>[]:;,\\"' for ch in local) or local[0] == "." or local[-1] == ".":
        raise BadAddress("characters that are not allowed before the @")
    try:
        domain = domain.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise BadAddress("the domain is not a valid one") from error
    labels = domain.split(".")
    if len(labels) < 2 or any(
        not label or label.startswith("-") or not all(c.isalnum() or c == "-" for c in label)
        for label in labels
    ):
        raise BadAddress("the domain is not a valid one")
    if len(local) > 64 or len(local) + len(domain) > 253:
        raise BadAddress("longer than an address may be")
    return f"{local}@{domain}"


def address_key(address: str, secret: bytes) -> AddressKey:
    """Keyed hash of the normalised address: 32 hex digits. Raises BadAddress."""
    digest = hmac.new(secret, normalise_address(address).encode(), hashlib.sha256).hexdigest()
    return AddressKey(digest[:32])


def supporter_id_from_external(source: str, external_id: str, secret: bytes) -> SupporterId:
    """The id a supporter gets when first seen under an external id."""
    return _supporter_id(f"external\x00{source}\x00{external_id}", secret)


def supporter_id_from_address(key: AddressKey, secret: bytes) -> SupporterId:
    """The id a supporter gets when first seen by address alone."""
    return _supporter_id(f"address\x00{key}", secret)


def _supporter_id(name: str, secret: bytes) -> SupporterId:
    digest = bytearray(hmac.digest(secret, b"supporter\x00" + name.encode(), hashlib.sha256)[:16])
    # Version 8 (RFC 9562, section 5.8) by hand: Python knows it from 3.14 on only.
    digest[6] = 0x80 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return SupporterId(str(uuid.UUID(bytes=bytes(digest))))


def message_id(send_id: str, supporter_id: str, occurrence: int = 0) -> MessageId:
    """One message: uuid5 over (send, supporter, occurrence)."""
    return MessageId(_uuid5(_MESSAGES, f"{send_id}\x00{supporter_id}\x00{occurrence}"))


def event_id(*parts: str | int) -> str:
    """Deterministic id of an event from what makes it one."""
    return _uuid5(_EVENTS, "\x00".join(map(str, parts)))


def _uuid5(namespace: uuid.UUID, name: str) -> str:
    """The text of `uuid.uuid5`, by hand: every event has one, and the object costs more than it."""
    digest = bytearray(
        hashlib.sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    )
    digest[6] = 0x50 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"
