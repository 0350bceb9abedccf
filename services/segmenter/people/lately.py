"""Who has answered lately: an order in which people are mailed when not all can be at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from shared.store.database import Database

COLD: Final = 2
"""The rank of who has not answered; 0: clicked or acted, 1: opened."""


def ranks(database: Database, supporter_ids: Iterable[str], sends: Sequence[str]) -> dict[str, int]:
    """Supporter to rank, of those who opened, clicked or acted on one of these sends."""
    found = database.execute(
        "select supporter_id, min(case when clicked_at is not null or acted_at is not null then 0"
        " when opened_at is not null then 1 else 2 end) from delivery"
        " where send_id in (select value from json_each(?))"
        " and supporter_id in (select value from json_each(?)) group by supporter_id",
        (json.dumps(list(sends)), json.dumps(list(supporter_ids))),
    )
    return {supporter_id: int(rank) for supporter_id, rank in found if rank < COLD}
