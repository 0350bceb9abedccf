"""Random shares of supporters: stable for a supporter and a seed, without drawing lots.

The position of a supporter is the first eight bytes of BLAKE2b over the seed, a NUL and the id. The
one of the empty seed is kept with each supporter; others are computed by SQLite asking us.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import apsw

SQL_FUNCTION: Final = "sample_bucket"
POSITIONS: Final = 2**64
_HALF: Final = 2**63


def bucket(seed: str, supporter_id: str) -> int:
    """The position, moved down by 2**63 so that it fits a signed 64-bit column."""
    digest = blake2b(f"{seed}\x00{supporter_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") - _HALF


def below(percent: float) -> int | None:
    """The bucket that ends the share: those below it are in. None: everyone is.

    Exactly the buckets whose position divided by 2**64, as a floating-point number, is below
    percent / 100.
    """
    share = percent / 100
    low, high = 0, POSITIONS
    while low < high:
        middle = (low + high) // 2
        if middle / POSITIONS < share:
            low = middle + 1
        else:
            high = middle
    return None if low == POSITIONS else low - _HALF


def teach(connection: apsw.Connection) -> None:
    """Let SQL on this connection compute buckets of any seed."""
    connection.create_scalar_function(SQL_FUNCTION, _answer, 2, deterministic=True)


def _answer(*values: Any) -> int:
    seed, supporter_id = values
    return bucket(seed, supporter_id)
