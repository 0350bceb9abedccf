"""Who is meant: from another system's id, or from an address, to a supporter.

An import asks this before it states anything: a row is the supporter known by (source, external
id), else the one whose present address it is, else somebody new, with the id that
`shared.ids` derives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import apsw

_BY_EXTERNAL: Final = """
    select i.source, i.external_id, i.supporter_id from identity i
    where (i.source, i.external_id) in
        (select value ->> 0, value ->> 1 from json_each(?))
    order by i.first_at desc, i.supporter_id desc"""
_BY_ADDRESS: Final = """
    select address_key, supporter_id from supporter
    where address_key in (select value from json_each(?))
    order by coalesce(joined_at, 9223372036854775807) desc, supporter_id desc"""


def by_external(
    connection: apsw.Connection, identities: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """(source, external id) to supporter_id; the unknown are absent. Where two supporters were
    stated under one id, the one stated first.
    """
    asked = json.dumps([list(identity) for identity in identities])
    return {
        (source, external_id): supporter_id
        for source, external_id, supporter_id in connection.execute(_BY_EXTERNAL, (asked,))
    }


def by_address(connection: apsw.Connection, address_keys: Iterable[str]) -> dict[str, str]:
    """Address key to the supporter whose present address it is; the unknown are absent. Where
    several share an inbox, the one who joined first.
    """
    asked = json.dumps(list(address_keys))
    return dict(connection.execute(_BY_ADDRESS, (asked,)))
