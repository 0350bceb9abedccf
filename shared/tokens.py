"""Signed compact tokens: what a link or a pixel carries instead of an address.

Payload: supporter (16 bytes), send (8-byte hash), occurrence (4), variant (1), edition (4-byte
hash); then a keyed BLAKE2b MAC of 80 bits. A leading byte says which key signed, so that keys can
be rotated. A token proves that the mail was held, not who holds it.
"""

from __future__ import annotations

import base64
import hmac
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

_PAYLOAD = struct.Struct(">16s8sIB4s")
_MAC_BYTES = 10
_LENGTH = 1 + _PAYLOAD.size + _MAC_BYTES


class BadToken(ValueError):
    """Forged, truncated, or signed with a key that is no longer known."""


@dataclass(frozen=True, slots=True)
class Token:
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
    body = bytes([key_id]) + _PAYLOAD.pack(
        _sixteen_bytes(token.supporter_id),
        token.send_hash,
        token.occurrence,
        token.variant,
        token.edition_hash,
    )
    mac = blake2b(body, key=key, digest_size=_MAC_BYTES).digest()
    return base64.urlsafe_b64encode(body + mac).rstrip(b"=").decode()


def _sixteen_bytes(supporter_id: str) -> bytes:
    """As `uuid.UUID(supporter_id).bytes`, of which every mail has one."""
    raw = bytes.fromhex(supporter_id.replace("-", ""))
    if len(raw) != 16 or len(supporter_id) != 36:
        raise ValueError("not a supporter_id")
    return raw


def verify(text: str, keys: Mapping[int, bytes]) -> Token:
    """The token behind `text`. Raises BadToken."""
    if len(text) != (_LENGTH * 8 + 5) // 6:
        raise BadToken("wrong length")
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, UnicodeEncodeError) as error:
        raise BadToken("not base64") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise BadToken("not the canonical spelling")
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    key = keys.get(body[0])
    if key is None:
        raise BadToken("signed with an unknown key")
    if not hmac.compare_digest(blake2b(body, key=key, digest_size=_MAC_BYTES).digest(), mac):
        raise BadToken("the signature does not fit")
    supporter, send, occurrence, variant, edition = _PAYLOAD.unpack(body[1:])
    return Token(str(uuid.UUID(bytes=supporter)), send, occurrence, variant, edition)
