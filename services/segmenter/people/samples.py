"""Random shares of supporters: stable for a supporter and a seed, without drawing lots.

The position of a supporter is the first eight bytes of SHA-256 over the seed, a NUL and the id. The
one of the empty seed is kept with each supporter; others are computed where the question is asked:
by SQLite asking us, by PostgreSQL with its own `sha256`. Both say the same.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import apsw

from shared.store.database import Database

BUCKET: Final = "sample_bucket(?, s.supporter_id)"
"""SQL for `bucket` of a row `s` of `supporter`; its one parameter is the `prefix` of the seed."""

POSTGRES_DDL: Final = (
    # The first 64 bits as a signed number would count the upper half below the lower one: the
    # exclusive or turns the highest bit over, which is what taking 2**63 off does.
    """create function sample_bucket(before bytea, supporter_id text) returns bigint
        language sql immutable parallel safe
        return (('x' || encode(substring(
            sha256(before || convert_to(supporter_id, 'UTF8')) from 1 for 8), 'hex')
        )::bit(64) # X'8000000000000000')::bigint""",
)

POSITIONS: Final = 2**64
_HALF: Final = 2**63


def bucket(seed: str, supporter_id: str) -> int:
    """The position, moved down by 2**63 so that it fits a signed 64-bit column."""
    return _bucket(prefix(seed), supporter_id)


def prefix(seed: str) -> bytes:
    """What is hashed before the id."""
    return seed.encode() + b"\x00"


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


def teach(database: Database) -> None:
    """Let SQL on this connection compute buckets of any seed."""
    if isinstance(database, apsw.Connection):
        database.create_scalar_function("sample_bucket", _answer, 2, deterministic=True)


def _answer(*values: Any) -> int:
    return _bucket(*values)


def _bucket(before: bytes, supporter_id: str) -> int:
    digest = sha256(before + supporter_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") - _HALF
