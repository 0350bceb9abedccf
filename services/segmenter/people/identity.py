"""Who is meant: from another system's id, or from an address, to a supporter.

An import asks this before it states anything: a row is the supporter known by (source, external
id), else the one whose present address it is, else somebody new, with the id that
`shared.ids` derives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from services.segmenter.people.ownership import Owned
from shared.store.database import Database

_BY_EXTERNAL: Final = """
    select i.source, i.external_id, i.supporter_id, i.first_at from identity i
    where i.source in (select value from json_each(?))
    and i.external_id in (select value from json_each(?))
    order by i.first_at desc, i.supporter_id desc"""
_BY_ADDRESS: Final = """
    select address_key, supporter_id, joined_at from supporter
    where address_key in (select value from json_each(?)) and {owned}
    order by coalesce(joined_at, 9223372036854775807) desc, supporter_id desc"""


class Meant(NamedTuple):
    """Who is meant, and since when they are known by that: of several the earliest counts, here
    and where other instances know others. Milliseconds; None is later than any.
    """

    supporter_id: str
    since: int | None


def by_external(
    connection: Database, identities: Iterable[tuple[str, str]], owned: Owned
) -> dict[tuple[str, str], Meant]:
    """(source, external id) to an owned supporter; the unknown are absent. Where two supporters
    were stated under one id, the one stated first.
    """
    wanted = set(identities)
    sources = json.dumps(sorted({source for source, _ in wanted}))
    ids = json.dumps(sorted({external_id for _, external_id in wanted}))
    return {
        (source, external_id): Meant(supporter_id, first_at)
        for source, external_id, supporter_id, first_at in connection.execute(
            _BY_EXTERNAL, (sources, ids)
        )
        if (source, external_id) in wanted and owned.has(supporter_id)
    }


def by_address(connection: Database, address_keys: Iterable[str], owned: Owned) -> dict[str, Meant]:
    """Address key to the owned supporter whose present address it is; the unknown are absent.
    Where several share an inbox, the one who joined first.
    """
    asked = json.dumps(list(address_keys))
    sql = _BY_ADDRESS.format(owned=owned.sql("partition"))
    return {
        address_key: Meant(supporter_id, joined_at)
        for address_key, supporter_id, joined_at in connection.execute(sql, (asked,))
    }
