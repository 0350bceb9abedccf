"""What a supporter's profile asks of the `suppressions` topic: what to say, what to take back.

Whoever unsubscribed or complained is suppressed as a person, and so is their inbox, under whatever
name mail would reach it. A bounced address is suppressed by who hears of the bounce, because the
notification names it. What comes back is only what was an unsubscribe, and only when its person
came back. Pure, but for the making of records.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """What has been said: why the person is suppressed, and which inbox of theirs; and the topics
    they left, of which inbox.
    """

    reason: SuppressionReason | None = None
    inbox: str | None = None
    topics: tuple[str, ...] = ()
    topics_inbox: str | None = None

    def to_text(self) -> str | None:
        """As the store keeps it; None for nothing."""
        if self == NOTHING_SAID:
            return None
        return json.dumps([self.reason, self.inbox, self.topics, self.topics_inbox])

    @classmethod
    def from_text(cls, text: str | None) -> Withdrawn:
        if text is None:
            return NOTHING_SAID
        reason, inbox, topics, topics_inbox = [*json.loads(text), (), None][:4]
        return cls(reason, inbox, tuple(topics), topics_inbox)

    def spoken_of(self) -> set[tuple[str, str]]:
        """Inbox and topic of what has been said; the person's own are said with them."""
        return {(self.topics_inbox or "", topic) for topic in self.topics}


NOTHING_SAID: Final = Withdrawn()


@dataclass(frozen=True, slots=True)
class Saying:
    """What is to be said: suppressions, subjects to free, and what will have been said by then.

    `joined`: subject and scope of topics that they want mail about again.
    """

    suppressions: Sequence[Suppression]
    freed: Sequence[str]
    withdrawn: Withdrawn
    joined: Sequence[tuple[str, str]] = ()

    def says(self) -> bool:
        """Whether there is anything to say."""
        return bool(self.suppressions or self.freed or self.joined)


def saying(supporter_id: str, profile: Profile, said: Withdrawn) -> Saying:
    """What the profile asks for beyond what has been said."""
    everything = _saying_of_everything(supporter_id, profile, said)
    left = profile.topics_left()
    inbox = profile.address_key if left else None
    withdrawn = replace(everything.withdrawn, topics=tuple(sorted(left)), topics_inbox=inbox)
    if not left and not said.topics:
        return replace(everything, withdrawn=withdrawn)
    suppressions = [
        Suppression(subject=s, scope=f"topic:{topic}", reason="unsubscribed", at=from_ms(at))
        for topic, at in sorted(left.items())
        if (inbox or "", topic) not in said.spoken_of()
        for s in (supporter_id, inbox)
        if s is not None
    ]
    joined = [
        (subject, f"topic:{topic}")
        for topic in said.topics
        if topic not in left
        for subject in dict.fromkeys((supporter_id, said.topics_inbox, profile.address_key))
        if subject is not None
    ]
    return Saying([*everything.suppressions, *suppressions], everything.freed, withdrawn, joined)


def _saying_of_everything(supporter_id: str, profile: Profile, said: Withdrawn) -> Saying:
    wanted = _wanted(profile)
    if wanted.reason is None:
        back = (supporter_id, said.inbox, profile.address_key)
        freed = back if said.reason == "unsubscribed" else ()
        return Saying((), [subject for subject in dict.fromkeys(freed) if subject], wanted)
    subjects = []
    if wanted.reason != said.reason:
        subjects.append(supporter_id)
    if wanted.inbox is not None and (wanted.reason, wanted.inbox) != (said.reason, said.inbox):
        subjects.append(wanted.inbox)
    at = from_ms(profile.complained_at or profile.unsubscribed_at or 0)
    return Saying(
        [
            Suppression(subject=subject, scope=EVERYTHING, reason=wanted.reason, at=at)
            for subject in subjects
        ],
        (),
        wanted,
    )


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


def freeing_record(subject: str, partitions: int, now: datetime, scope: str = EVERYTHING) -> Record:
    """The tombstone that lifts the suppression of everything, or of a topic, for a subject."""
    key = f"{subject}|{scope}"
    partition = partition_of(key, partitions)
    return Record(SUPPRESSIONS, partition, key.encode(), None, (), to_ms(now))


def _wanted(profile: Profile) -> Withdrawn:
    if profile.complained_at is not None:
        return Withdrawn("complained", profile.address_key)
    if profile.unsubscribed_at is not None:
        return Withdrawn("unsubscribed", profile.address_key)
    return NOTHING_SAID
