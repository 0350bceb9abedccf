"""Reads and writes profiles: the only SQL that touches what is known of a supporter.

A batch is read in one question and written in a few, each sorted by key, and only what differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw

from services.segmenter.people.portrait import TO_JSON, Area, Portrait
from services.segmenter.people.profiles import NOBODY_YET, Profile, from_memory, to_memory
from services.segmenter.people.withdrawals import NOTHING_SAID, Saying, Withdrawn

_READ: Final = """
    select supporter_id, memory, areas, withdrawn from profile
    where supporter_id in (select value from json_each(?))"""
_SUPPORTER: Final = """
    insert into supporter(supporter_id, partition, address_key, standing, language, place_status,
        latitude, longitude, bucket, joined_at)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (supporter_id) do update set
        address_key = excluded.address_key, standing = excluded.standing,
        language = excluded.language, place_status = excluded.place_status,
        latitude = excluded.latitude, longitude = excluded.longitude,
        joined_at = excluded.joined_at"""
_PROFILE: Final = """
    insert into profile(supporter_id, email, first_name, last_name, language, postcode,
        attributes, areas, consent_wording, consent_source, consent_at, unsubscribed_at,
        bounced_at, complained_at, source, flags, memory, withdrawn)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (supporter_id) do update set
        email = excluded.email, first_name = excluded.first_name, last_name = excluded.last_name,
        language = excluded.language, postcode = excluded.postcode,
        attributes = excluded.attributes, areas = excluded.areas,
        consent_wording = excluded.consent_wording, consent_source = excluded.consent_source,
        consent_at = excluded.consent_at, unsubscribed_at = excluded.unsubscribed_at,
        bounced_at = excluded.bounced_at, complained_at = excluded.complained_at,
        source = excluded.source, flags = excluded.flags, memory = excluded.memory,
        withdrawn = excluded.withdrawn"""
_ADD_TAG: Final = (
    "insert into supporter_tag(tag, supporter_id) values (?, ?) on conflict do nothing"
)
_DROP_TAG: Final = "delete from supporter_tag where tag = ? and supporter_id = ?"
_SET_ATTRIBUTE: Final = """
    insert into supporter_attribute(name, supporter_id, shape, value) values (?, ?, ?, ?)
    on conflict (name, supporter_id) do update set shape = excluded.shape, value = excluded.value"""
_DROP_ATTRIBUTE: Final = "delete from supporter_attribute where name = ? and supporter_id = ?"
_SET_AREA: Final = """
    insert into supporter_area(kind, supporter_id, code, given, provenance) values (?, ?, ?, ?, ?)
    on conflict (kind, supporter_id) do update set
        code = excluded.code, given = excluded.given, provenance = excluded.provenance"""
_DROP_AREA: Final = "delete from supporter_area where kind = ? and supporter_id = ?"
_SET_IDENTITY: Final = """
    insert into identity(source, external_id, supporter_id, first_at) values (?, ?, ?, ?)
    on conflict (source, external_id, supporter_id) do update set first_at = excluded.first_at"""


@dataclass(slots=True)
class Kept:
    """What the store holds of a supporter. `known` is False when that is nothing."""

    profile: Profile
    areas: Mapping[str, Area]
    withdrawn: Withdrawn
    known: bool = True


UNKNOWN: Final = Kept(NOBODY_YET, {}, NOTHING_SAID, known=False)


@dataclass(slots=True)
class Changed:
    """What shall be held of a supporter, and what was."""

    partition: int
    before: Kept
    profile: Profile
    portrait: Portrait
    saying: Saying


def read_kept(connection: apsw.Connection, supporter_ids: Iterable[str]) -> dict[str, Kept]:
    """What is held, by supporter; who is not known is absent."""
    asked = json.dumps(list(supporter_ids))
    return {
        supporter_id: Kept(from_memory(memory), _areas(areas), Withdrawn.from_text(withdrawn))
        for supporter_id, memory, areas, withdrawn in connection.execute(_READ, (asked,))
    }


def write_changed(connection: apsw.Connection, changes: Sequence[Changed]) -> None:
    """Write what differs. Each supporter at most once in `changes`."""
    changes = sorted(changes, key=lambda change: change.portrait.supporter_id)
    connection.executemany(_SUPPORTER, map(_supporter_row, changes))
    connection.executemany(_PROFILE, map(_profile_row, changes))
    _write_tags(connection, changes)
    _write_attributes(connection, changes)
    _write_areas(connection, changes)
    _many(
        connection,
        _SET_IDENTITY,
        (
            (*key, change.portrait.supporter_id, first_at)
            for change in changes
            for key, first_at in change.profile.identities.items()
            if change.before.profile.identities.get(key) != first_at
        ),
    )


def _write_tags(connection: apsw.Connection, changes: Sequence[Changed]) -> None:
    added, dropped = [], []
    for change in changes:
        supporter_id, now = change.portrait.supporter_id, change.portrait.tags
        before = {tag for tag, stated in change.before.profile.tags.items() if stated.value}
        added += [(tag, supporter_id) for tag in now - before]
        dropped += [(tag, supporter_id) for tag in before - now]
    _many(connection, _DROP_TAG, dropped)
    _many(connection, _ADD_TAG, added)


def _write_attributes(connection: apsw.Connection, changes: Sequence[Changed]) -> None:
    written, dropped = [], []
    for change in changes:
        supporter_id = change.portrait.supporter_id
        known = change.before.profile.attributes
        for name, value in change.portrait.shapes().items():
            if change.profile.attributes[name] is not known.get(name):
                written.append((name, supporter_id, *value))
        dropped += [
            (name, supporter_id)
            for name, stated in known.items()
            if stated.value is not None and name not in change.portrait.attributes
        ]
    _many(connection, _DROP_ATTRIBUTE, dropped)
    _many(connection, _SET_ATTRIBUTE, written)


def _write_areas(connection: apsw.Connection, changes: Sequence[Changed]) -> None:
    written, dropped = [], []
    for change in changes:
        supporter_id, now = change.portrait.supporter_id, change.portrait.areas
        written += [
            (kind, supporter_id, area.code, int(area.given), area.provenance)
            for kind, area in now.items()
            if change.before.areas.get(kind) != area
        ]
        dropped += [(kind, supporter_id) for kind in change.before.areas if kind not in now]
    _many(connection, _DROP_AREA, dropped)
    _many(connection, _SET_AREA, written)


def _many(connection: apsw.Connection, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
    ordered = sorted(rows)
    if ordered:
        connection.executemany(sql, ordered)


def _supporter_row(change: Changed) -> tuple[Any, ...]:
    portrait, joined = change.portrait, change.profile.joined
    return (
        portrait.supporter_id, change.partition, portrait.address_key, portrait.standing,
        portrait.language and portrait.language.casefold(), portrait.place_status,
        portrait.latitude, portrait.longitude, portrait.bucket(), joined and joined.at,
    )  # fmt: skip


def _profile_row(change: Changed) -> tuple[Any, ...]:
    portrait, profile = change.portrait, change.profile
    consent, joined = profile.consent, profile.joined
    return (
        portrait.supporter_id, profile.text("email"), profile.text("first_name"),
        profile.text("last_name"), portrait.language, portrait.postcode,
        TO_JSON.encode(portrait.attributes), portrait.areas_json(),
        consent and consent.wording, consent and consent.source, consent and consent.at,
        profile.unsubscribed_at, profile.bounced_at, profile.complained_at,
        joined and joined.source, TO_JSON.encode(portrait.flags),
        to_memory(profile), change.saying.withdrawn.to_text(),
    )  # fmt: skip


def _areas(text: str) -> dict[str, Area]:
    return {kind: Area._make(entry) for kind, entry in json.loads(text).items()}
