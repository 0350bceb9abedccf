"""Folds a batch of statements and mail facts into the profiles of the store.

Reads the profiles concerned, lets the pure rooms decide, writes those that are not what they were,
and says on `suppressions` what follows. In the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from services.segmenter.people.engagement import Message, Told, sent_at
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
from services.segmenter.people.suppressions import reasons_of
from services.segmenter.people.withdrawals import (
    EVERYTHING,
    freeing_record,
    saying,
    suppression_record,
)
from shared.store.database import Database
from shared.store.port import Unit

_HARDER: Final = frozenset({"complained", "erased", "hard_bounce"})
"""Reasons that an unsubscribe does not replace, and that no return lifts."""

_LEFT: Final = """
    select distinct address_key from supporter
    where address_key in (select value from json_each(?))
    and standing in ('unsubscribed', 'complained')"""

_OTHERS_LEFT: Final = """
    select 1 from supporter s join suppression x on x.subject = s.supporter_id
    where s.address_key = ? and s.supporter_id <> ? and x.scope = ? limit 1"""


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
        unit: Unit,
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
        bounced = [f.message for f in facts if f.kind == "bounced" and f.message is not None]
        sent = sent_at(unit.connection, bounced)
        for fact in facts:
            profile = profiles[fact.supporter_id]
            profiles[fact.supporter_id] = _with_fact(profile, fact, sent)
        changes = self.changes(kept, profiles, partition_by_supporter)
        write_changed(unit.connection, changes)
        self._say(unit, [change for change in changes if change.saying.says()], now)
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

    def _say(self, unit: Unit, changes: Sequence[Changed], now: datetime) -> None:
        freed = [subject for change in changes for subject in change.saying.freed]
        told = [s.subject for change in changes for s in change.saying.suppressions]
        self._let_join(unit, changes, now)
        if not freed and not told:
            return
        reasons = reasons_of(unit.connection, {*freed, *told})
        left = _inboxes_left(unit.connection, freed)
        for change in changes:
            for suppression in change.saying.suppressions:
                known = reasons.get(suppression.subject)
                if suppression.scope != EVERYTHING:
                    known = None
                if suppression.reason != "unsubscribed" or known not in _HARDER:
                    unit.emit(change.partition, suppression_record(suppression, self._partitions))
            for subject in change.saying.freed:
                if reasons.get(subject) not in _HARDER and subject not in left:
                    unit.emit(change.partition, freeing_record(subject, self._partitions, now))

    def _let_join(self, unit: Unit, changes: Sequence[Changed], now: datetime) -> None:
        """Lift what was said of topics, unless somebody else of the inbox has left the topic."""
        for change in changes:
            for subject, scope in change.saying.joined:
                mine = change.portrait.supporter_id
                asked = (subject, mine, scope)
                if unit.connection.execute(_OTHERS_LEFT, asked).fetchall():
                    continue
                record = freeing_record(subject, self._partitions, now, scope)
                unit.emit(change.partition, record)


def _folded(profile: Profile, statements: Iterable[Statement]) -> Profile:
    for statement in statements:
        profile = fold(profile, statement)
    return profile


def _with_fact(profile: Profile, told: Told, sent: Mapping[Message, int]) -> Profile:
    match told.kind:
        case "unsubscribed":
            return fold_unsubscribe(profile, told.at)
        case "complained":
            return fold_complaint(profile, told.at)
        case "bounced":
            known = None if told.message is None else sent.get(told.message)
            return fold_bounce(profile, told.at, told.at if known is None else known)


def _inboxes_left(connection: Database, subjects: Iterable[str]) -> set[str]:
    """Those of the subjects that are the inbox of somebody who wants no mail."""
    asked = json.dumps(list(subjects))
    return {key for (key,) in connection.execute(_LEFT, (asked,))}
