"""How often supporters want mail, by their own choice: kept when a send is released.

What is released counts from that moment, whatever becomes of it in the end, unless it never went
out: so two sends of one minute do not both pass. A promise to a person: no priority breaks it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, assert_never

from services.segmenter.people.audience import Member
from shared.clock import to_ms
from shared.programme.definitions import Send
from shared.store.database import Database

WEEK: Final = timedelta(days=7)
WEEKLY: Final = "asked for at most one mail a week"
IMPORTANT: Final = "asked for important mail only"

_MAILED: Final = """
    select distinct supporter_id from frozen
    where supporter_id in (select value from json_each(?)) and send_id <> ?
    and released = 1 and released_ms > ?
    and (state is null or state in ('accepted', 'unconfirmed'))"""


def held_back(
    database: Database, send: Send, members: Iterable[Member], now: datetime
) -> dict[str, str]:
    """Those of the members who do not want this mail now, each with the reason.

    Important is what is urgent (`priority`), which takes an approver.
    """
    reasons: dict[str, str] = {}
    weekly = []
    for member in members:
        match member.frequency:
            case "everything":
                pass
            case "important":
                if send.priority != "urgent":
                    reasons[member.supporter_id] = IMPORTANT
            case "weekly":
                weekly.append(member.supporter_id)
            case never:
                assert_never(never)
    if weekly:
        asked = (json.dumps(weekly), send.name, to_ms(now - WEEK))
        for (supporter_id,) in database.execute(_MAILED, asked):
            reasons[supporter_id] = WEEKLY
    return reasons
