"""Chance that can be repeated: numbers in [0, 1) drawn from a seed and a name.

Nothing here keeps state; the same seed and name always give the same number, on every machine.
"""

from __future__ import annotations

import hashlib


def draw(seed: str, *name: object) -> float:
    """A number in [0, 1), evenly spread over names and fixed for each (BLAKE2b of the name)."""
    text = "\x1f".join([seed, *map(str, name)]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big") / (1 << 56)
