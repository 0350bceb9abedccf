"""Which variant an inbox gets: drawn by hash, so that a household sees one ask, and always the
same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from shared.programme.definitions import Variant


def draw(send_id: str, address_key: str, variants: Sequence[Variant]) -> str:
    """The name of the variant, in proportion to the weights."""
    total = sum(variant.weight for variant in variants)
    digest = blake2b(f"{send_id}\x00{address_key}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest) * total >> 64
    for variant in variants:
        point -= variant.weight
        if point < 0:
            return variant.name
    raise ValueError(f"{send_id}: a send needs at least one variant")
