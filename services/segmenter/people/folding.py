"""Folds a batch of statements and mail facts into the profiles of the store.

Reads the profiles concerned, lets the pure rooms decide, writes those that are not what they were,
and says on `suppressions` what follows. In the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import apsw

from services.segmenter.people.engagement import Told, sent_at
from services.segmenter.people.places.areas import Place
from services.segmenter.people.portrait import paint
from services.segmenter.people.profile_store import (
    UNKNOWN,
    Changed,
    Kept,
    read_kept,
    write_changed,
)
from services.segmenter.people.profiles import (
    Profile,
    fold,
    fold_bounce,
    fold_complaint,
    fold_unsubscribe,
)
from services.segmenter.people.statements import Statement
from services.segmenter.people.suppressions import reason_of
from services.segmenter.people.withdrawals import freeing_record, saying, suppression_record
from shared.store.sqlite import SqliteUnit

_HARDER: Final = frozenset({"complained", "erased", "hard_bounce"})
"""Reasons that an unsubscribe does not replace, and that no return lifts."""

_OTHERS_GONE: Final = """
    select 1 from supporter where address_key = ? and standing in ('unsubscribed', 'complained')
    limit 1"""


class Places(Protocol):
    """What turns postcodes into places (services.segmenter.people.places.areas.Resolver)."""

    def resolve_many(self, texts: Sequence[str]) -> list[Place]:
        """One place for each text, in the same order; no text raises."""
        ...


class Folding:
    """Folds batches. `partitions` is P."""

    def __init__(self, places: Places, partitions: int) -> None:
        self._places, self._partitions = places, partitions

    def apply(
        self,
        unit: SqliteUnit,
        statements: Mapping[str, Sequence[Statement]],
        told: Iterable[Told],
        partition_by_supporter: Mapping[str, int],
        now: datetime,
    ) -> list[Changed]:
        """What changed. `statements` by supporter; `partition_by_supporter` has everyone."""
        facts = list(told)
        about = sorted(statements.keys() | {fact.supporter_id for fact in facts})
        if not about:
            return []
        kept = read_kept(unit.connection, about)
        profiles = {
            supporter_id: _folded(
                kept.get(supporter_id, UNKNOWN).profile, statements.get(supporter_id, ())
            )
            for supporter_id in about
        }
        for fact in facts:
            profile = profiles[fact.supporter_id]
            profiles[fact.supporter_id] = _with_fact(unit.connection, profile, fact)
        changes = self.changes(kept, profiles, partition_by_supporter)
        write_changed(unit.connection, changes)
        for change in changes:
            self._say(unit, change, now)
        return changes

    def changes(
        self,
        kept: Mapping[str, Kept],
        profiles: Mapping[str, Profile],
        partition_by_supporter: Mapping[str, int],
    ) -> list[Changed]:
        """Those of the profiles that are not what is kept, painted. Writes nothing."""
        different = [
            (supporter_id, before, profile)
            for supporter_id, profile in profiles.items()
            if (before := kept.get(supporter_id, UNKNOWN)).profile != profile or not before.known
        ]
        places = self._resolve(profile.text("postcode") for _, _, profile in different)
        return [
            Changed(
                partition=partition_by_supporter[supporter_id],
                before=before,
                profile=profile,
                portrait=paint(supporter_id, profile, places.get(profile.text("postcode"))),
                saying=saying(supporter_id, profile, before.withdrawn),
            )
            for supporter_id, before, profile in different
        ]

    def _resolve(self, postcodes: Iterable[str | None]) -> dict[str | None, Place]:
        asked = sorted({postcode for postcode in postcodes if postcode is not None})
        return dict(zip(asked, self._places.resolve_many(asked), strict=True)) if asked else {}

    def _say(self, unit: SqliteUnit, change: Changed, now: datetime) -> None:
        for suppression in change.saying.suppressions:
            known = reason_of(unit.connection, suppression.subject)
            if suppression.reason != "unsubscribed" or known not in _HARDER:
                unit.emit(change.partition, suppression_record(suppression, self._partitions))
        for subject in change.saying.freed:
            if _may_be_freed(unit.connection, subject):
                unit.emit(change.partition, freeing_record(subject, self._partitions, now))


def _folded(profile: Profile, statements: Iterable[Statement]) -> Profile:
    for statement in statements:
        profile = fold(profile, statement)
    return profile


def _with_fact(connection: apsw.Connection, profile: Profile, told: Told) -> Profile:
    match told.kind:
        case "unsubscribed":
            return fold_unsubscribe(profile, told.at)
        case "complained":
            return fold_complaint(profile, told.at)
        case "bounced":
            sent = None if told.message is None else sent_at(connection, told.message)
            return fold_bounce(profile, told.at, told.at if sent is None else sent)


def _may_be_freed(connection: apsw.Connection, subject: str) -> bool:
    """Not while it is suppressed for a harder reason, nor an inbox that others of it left."""
    if reason_of(connection, subject) in _HARDER:
        return False
    return not connection.execute(_OTHERS_GONE, (subject,)).fetchall()
