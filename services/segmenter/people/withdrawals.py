"""What a supporter's profile asks of the `suppressions` topic: what to say, what to take back.

Whoever unsubscribed or complained is suppressed as a person, and so is their inbox, under whatever
name mail would reach it. A hard bounce suppresses the address alone. What comes back is only what
was an unsubscribe, and only when its person came back. Pure, but for the making of records.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.segmenter.people.profiles import Profile
from shared.clock import from_ms, to_ms
from shared.ids import event_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import SUPPRESSIONS
from shared.wire.cloudevents import encode
from shared.wire.suppressions import Suppression, SuppressionReason

EVERYTHING: Final = "everything"
SOURCE: Final = "segmenter"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What has been said: why the person is suppressed, which inbox and why."""

    person: SuppressionReason | None = None
    inbox: str | None = None
    inbox_reason: SuppressionReason | None = None

    def to_text(self) -> str | None:
        """As the store keeps it; None for nothing."""
        if self == NOTHING_SAID:
            return None
        return json.dumps([self.person, self.inbox, self.inbox_reason])

    @classmethod
    def from_text(cls, text: str | None) -> Withdrawn:
        return NOTHING_SAID if text is None else cls(*json.loads(text))


NOTHING_SAID: Final = Withdrawn()


@dataclass(frozen=True, slots=True)
class Saying:
    """What is to be said: suppressions, subjects to free, and what will have been said by then."""

    suppressions: Sequence[Suppression]
    freed: Sequence[str]
    withdrawn: Withdrawn


def saying(supporter_id: str, profile: Profile, said: Withdrawn) -> Saying:
    """What the profile asks for beyond what has been said."""
    wanted = _wanted(profile)
    if wanted == said:
        return Saying((), (), said)
    new, freed = [], []
    if wanted.person is not None and wanted.person != said.person:
        new.append(_everything(supporter_id, wanted.person, _since(profile, wanted.person)))
    if wanted.person is None and said.person == "unsubscribed":
        freed.append(supporter_id)
    if wanted.inbox is not None and wanted.inbox_reason is not None:
        if (wanted.inbox, wanted.inbox_reason) != (said.inbox, said.inbox_reason):
            at = _since(profile, wanted.inbox_reason)
            new.append(_everything(wanted.inbox, wanted.inbox_reason, at))
    elif wanted.person is None and said.inbox_reason == "unsubscribed":
        freed += [key for key in dict.fromkeys((said.inbox, profile.address_key)) if key]
    return Saying(new, freed, wanted)


def suppression_record(suppression: Suppression, partitions: int) -> Record:
    """The record that suppresses. The same suppression has the same id."""
    return encode(
        suppression,
        id=event_id("suppression", suppression.key, suppression.reason, to_ms(suppression.at)),
        source=SOURCE,
        subject=suppression.subject,
        time=suppression.at,
        topic=SUPPRESSIONS,
        partition=partition_of(suppression.key, partitions),
        key=suppression.key,
    )


def freeing_record(subject: str, partitions: int, now: datetime) -> Record:
    """The tombstone that lifts the suppression of everything for a subject."""
    key = f"{subject}|{EVERYTHING}"
    partition = partition_of(key, partitions)
    return Record(SUPPRESSIONS, partition, key.encode(), None, (), to_ms(now))


def _wanted(profile: Profile) -> Withdrawn:
    person: SuppressionReason | None = None
    if profile.complained_at is not None:
        person = "complained"
    elif profile.unsubscribed_at is not None:
        person = "unsubscribed"
    bounced: SuppressionReason | None = "hard_bounce" if profile.bounced_at is not None else None
    reason = person or bounced
    if profile.address_key is None or reason is None:
        return Withdrawn(person)
    return Withdrawn(person, profile.address_key, reason)


def _since(profile: Profile, reason: SuppressionReason) -> datetime:
    times = {
        "complained": profile.complained_at,
        "unsubscribed": profile.unsubscribed_at,
        "hard_bounce": profile.bounced_at,
    }
    return from_ms(times.get(reason) or 0)


def _everything(subject: str, reason: SuppressionReason, at: datetime) -> Suppression:
    return Suppression(subject=subject, scope=EVERYTHING, reason=reason, at=at)
