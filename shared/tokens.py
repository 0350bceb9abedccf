"""Signed compact tokens: what a link or a pixel carries instead of an address.

Payload: supporter (16 bytes), send (8-byte hash), occurrence (4), variant (1), edition (4-byte
hash); then a keyed BLAKE2b MAC of 80 bits. A leading byte says which key signed, so that keys can
be rotated. A token proves that the mail was held, not who holds it.
"""

from __future__ import annotations

import re
import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, NamedTuple

_PAYLOAD: Final = struct.Struct(">16s8sIB4s")
_MAC_BYTES: Final = 10
_SIGNED: Final = 1 + _PAYLOAD.size
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{58}[AEIMQUYcgkosw048]")
"""59 characters; the last carries four bits only, so that no token has two spellings."""
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


class BadToken(ValueError):
    """Forged, truncated, or signed with a key that is no longer known."""


class UnknownKey(BadToken):
    """Signed with a key that is not known, or not any more."""


class Token(NamedTuple):
    """What a token says. `send_hash` and `edition_hash` are looked up in the programme."""

    supporter_id: str
    send_hash: bytes
    occurrence: int
    variant: int
    edition_hash: bytes


def send_hash(send_id: str) -> bytes:
    """Eight bytes that stand for a send in a token."""
    return blake2b(send_id.encode(), digest_size=8).digest()


@lru_cache(maxsize=4_096)
def edition_hash(edition: str) -> bytes:
    """Four bytes that stand for an edition in a token."""
    return blake2b(edition.encode(), digest_size=4).digest()


def sign(token: Token, key_id: int, key: bytes) -> str:
    """59 URL-safe characters. `key_id` 0 to 255; `key` 16 to 64 bytes."""
    signed = bytes([key_id]) + _PAYLOAD.pack(
        _sixteen_bytes(token.supporter_id),
        token.send_hash,
        token.occurrence,
        token.variant,
        token.edition_hash,
    )
    text = b2a_base64(signed + _mac(signed, key), newline=False)
    return text.translate(_URL_SAFE).rstrip(b"=").decode()


def _sixteen_bytes(supporter_id: str) -> bytes:
    """As `uuid.UUID(supporter_id).bytes`, of which every mail has one."""
    raw = bytes.fromhex(supporter_id.replace("-", ""))
    if len(raw) != 16 or len(supporter_id) != 36:
        raise ValueError("not a supporter_id")
    return raw


def verify(text: str, keys: Mapping[int, bytes]) -> Token:
    """The token behind `text`. Raises BadToken; UnknownKey when it may be another key's."""
    if _TEXT.fullmatch(text) is None:
        raise BadToken("not 59 URL-safe characters in their one spelling")
    raw = a2b_base64(text.encode().translate(_STANDARD) + b"=")
    key = keys.get(raw[0])
    if key is None:
        raise UnknownKey(f"signed with key {raw[0]}, which is not known")
    signed = raw[:_SIGNED]
    if not compare_digest(_mac(signed, key), raw[_SIGNED:]):
        raise BadToken("the signature does not fit")
    supporter, send, occurrence, variant, edition = _PAYLOAD.unpack_from(raw, 1)
    name: str = supporter.hex()
    supporter_id = f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
    return Token(supporter_id, send, occurrence, variant, edition)


def _mac(signed: bytes, key: bytes) -> bytes:
    hashing = _keyed(key).copy()
    hashing.update(signed)
    return hashing.digest()


@lru_cache(maxsize=256)
def _keyed(key: bytes) -> blake2b:
    """With the key taken in, which costs as much as the rest: every MAC goes on from a copy."""
    return blake2b(key=key, digest_size=_MAC_BYTES)
