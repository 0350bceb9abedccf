"""Chance that can be repeated: numbers and ids drawn from a name.

Nothing here keeps state; the same seed and name always give the same number, on every machine.
"""

from __future__ import annotations

import hashlib
import uuid


def draw(seed: str, *name: object) -> float:
    """A number in [0, 1), evenly spread over names and fixed for each (BLAKE2b of the name)."""
    return int.from_bytes(_digest(7, seed, *name), "big") / (1 << 56)


def drawn_uuid(*name: object) -> uuid.UUID:
    """An id that is fixed for each name."""
    return uuid.UUID(bytes=_digest(16, *name), version=5)


def _digest(size: int, *name: object) -> bytes:
    text = "\x1f".join(map(str, name)).encode()
    return hashlib.blake2b(text, digest_size=size).digest()
