"""Forgets people who are to be erased: profile, tags, attributes, areas, identities, memberships.

What they did stays under their pseudonymous id, without a word about who that was; so do frozen
sets, whose books must balance. SQLite overwrites what it deletes. Nothing is said of leaving.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from shared.store.database import Database

TABLES: Final = (
    "profile", "supporter_tag", "supporter_attribute", "supporter_area", "identity", "membership",
    "supporter",
)  # fmt: skip


def forget(database: Database, supporter_ids: Sequence[str]) -> None:
    """In the caller's transaction. Repetition is harmless."""
    if not supporter_ids:
        return
    listed = json.dumps(sorted(supporter_ids))
    for table in TABLES:
        database.execute(
            f"delete from {table} where supporter_id in (select value from json_each(?))",
            (listed,),
        )
