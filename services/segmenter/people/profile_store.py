"""Reads and writes profiles: the only SQL that touches what is known of a supporter.

A batch is read in one question and written in a few, each sorted by key, and only what differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.segmenter.people.portrait import TO_JSON, Area, Portrait
from services.segmenter.people.profiles import NOBODY_YET, Profile, from_memory, to_memory
from services.segmenter.people.upserts import Upsert, taken_over
from services.segmenter.people.withdrawals import NOTHING_SAID, Saying, Withdrawn
from shared.store.database import Database

_READ: Final = """
    select supporter_id, memory, areas, withdrawn from profile
    where supporter_id in (select value from json_each(?))"""
_SUPPORTER: Final = Upsert(
    "supporter",
    {
        "supporter_id": "text",
        "partition": "bigint",
        "address_key": "text",
        "standing": "text",
        "language": "text",
        "place_status": "text",
        "latitude": "double precision",
        "longitude": "double precision",
        "bucket": "bigint",
        "joined_at": "bigint",
    },
    ("supporter_id",),
    taken_over(
        "address_key", "standing", "language", "place_status", "latitude", "longitude", "joined_at"
    ),
)
_PROFILE: Final = Upsert(
    "profile",
    {
        "supporter_id": "text",
        "email": "text",
        "first_name": "text",
        "last_name": "text",
        "language": "text",
        "postcode": "text",
        "attributes": "text",
        "areas": "text",
        "consent_wording": "text",
        "consent_source": "text",
        "consent_at": "bigint",
        "unsubscribed_at": "bigint",
        "bounced_at": "bigint",
        "complained_at": "bigint",
        "source": "text",
        "flags": "text",
        "memory": "bytea",
        "withdrawn": "text",
        "tracking": "text",
        "tracking_wording": "text",
        "tracking_source": "text",
        "tracking_at": "bigint",
    },
    ("supporter_id",),
    taken_over(
        "email", "first_name", "last_name", "language", "postcode", "attributes", "areas",
        "consent_wording", "consent_source", "consent_at", "unsubscribed_at", "bounced_at",
        "complained_at", "source", "flags", "memory", "withdrawn",
        "tracking", "tracking_wording", "tracking_source", "tracking_at",
    ),
)  # fmt: skip
_ADD_TAG: Final = Upsert(
    "supporter_tag", {"tag": "text", "supporter_id": "text"}, ("tag", "supporter_id")
)
_DROP_TAG: Final = "delete from supporter_tag where tag = ? and supporter_id = ?"
_SET_ATTRIBUTE: Final = Upsert(
    "supporter_attribute",
    {"name": "text", "supporter_id": "text", "shape": "text", "value": "text"},
    ("name", "supporter_id"),
    taken_over("shape", "value"),
)
_DROP_ATTRIBUTE: Final = "delete from supporter_attribute where name = ? and supporter_id = ?"
_SET_AREA: Final = Upsert(
    "supporter_area",
    {
        "kind": "text",
        "supporter_id": "text",
        "code": "text",
        "given": "bigint",
        "provenance": "text",
    },
    ("kind", "supporter_id"),
    taken_over("code", "given", "provenance"),
)
_DROP_AREA: Final = "delete from supporter_area where kind = ? and supporter_id = ?"
_SET_IDENTITY: Final = Upsert(
    "identity",
    {"source": "text", "external_id": "text", "supporter_id": "text", "first_at": "bigint"},
    ("source", "external_id", "supporter_id"),
    taken_over("first_at"),
)


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


def read_kept(connection: Database, supporter_ids: Iterable[str]) -> dict[str, Kept]:
    """What is held, by supporter; who is not known is absent."""
    asked = json.dumps(list(supporter_ids))
    return {
        supporter_id: Kept(from_memory(memory), _areas(areas), Withdrawn.from_text(withdrawn))
        for supporter_id, memory, areas, withdrawn in connection.execute(_READ, (asked,))
    }


def write_changed(connection: Database, changes: Sequence[Changed]) -> None:
    """Write what differs. Each supporter at most once in `changes`."""
    _SUPPORTER.write(connection, map(_supporter_row, changes))
    _PROFILE.write(connection, map(_profile_row, changes))
    _write_tags(connection, changes)
    _write_attributes(connection, changes)
    _write_areas(connection, changes)
    _SET_IDENTITY.write(
        connection,
        (
            (*key, change.portrait.supporter_id, first_at)
            for change in changes
            for key, first_at in change.profile.identities.items()
            if change.before.profile.identities.get(key) != first_at
        ),
    )


def _write_tags(connection: Database, changes: Sequence[Changed]) -> None:
    added, dropped = [], []
    for change in changes:
        supporter_id, now = change.portrait.supporter_id, change.portrait.tags
        before = {tag for tag, stated in change.before.profile.tags.items() if stated.value}
        added += [(tag, supporter_id) for tag in now - before]
        dropped += [(tag, supporter_id) for tag in before - now]
    _drop(connection, _DROP_TAG, dropped)
    _ADD_TAG.write(connection, added)


def _write_attributes(connection: Database, changes: Sequence[Changed]) -> None:
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
    _drop(connection, _DROP_ATTRIBUTE, dropped)
    _SET_ATTRIBUTE.write(connection, written)


def _write_areas(connection: Database, changes: Sequence[Changed]) -> None:
    written, dropped = [], []
    for change in changes:
        supporter_id, now = change.portrait.supporter_id, change.portrait.areas
        written += [
            (kind, supporter_id, area.code, int(area.given), area.provenance)
            for kind, area in now.items()
            if change.before.areas.get(kind) != area
        ]
        dropped += [(kind, supporter_id) for kind in change.before.areas if kind not in now]
    _drop(connection, _DROP_AREA, dropped)
    _SET_AREA.write(connection, written)


def _drop(connection: Database, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
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
    consent, joined, tracking = profile.consent, profile.joined, profile.tracking
    return (
        portrait.supporter_id, profile.text("email"), profile.text("first_name"),
        profile.text("last_name"), portrait.language, portrait.postcode,
        TO_JSON.encode(portrait.attributes), portrait.areas_json(),
        consent and consent.wording, consent and consent.source, consent and consent.at,
        profile.unsubscribed_at, profile.bounced_at, profile.complained_at,
        joined and joined.source, TO_JSON.encode(portrait.flags),
        to_memory(profile), change.saying.withdrawn.to_text(),
        tracking and tracking.allows, tracking and tracking.wording, tracking and tracking.source,
        tracking and tracking.at,
    )  # fmt: skip


def _areas(text: str) -> dict[str, Area]:
    return {kind: Area._make(entry) for kind, entry in json.loads(text).items()}
