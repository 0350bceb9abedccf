"""Which partition a key belongs to: murmur2 as Kafka's clients compute it, mod P.

Computed by us for every body, so that a key sits in the same number everywhere.
Source of the hash: Austin Appleby's MurmurHash2 (32 bit), seed 0x9747b28c as Kafka uses it.
"""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """MurmurHash2 of `data`, an unsigned 32-bit number."""
    words, left = divmod(len(data), 4)
    h = 0x9747B28C ^ len(data)
    for word in unpack_from(f"<{words}I", data):
        k = word * _M & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    tail = data[len(data) - left :]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_of(key: str, partitions: int) -> int:
    """The number, 0 to `partitions` - 1, that `key` belongs to."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
