"""What is known of a supporter, folded from statements and from what their mail brought.

Each field keeps the newest statement about it with its time, so that statements may come in any
order, and any number of times, and give the same profile. Pure: no store, no clock. What follows
from a profile (may they be mailed, where do they live) is decided in `standing` and `portrait`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar

import msgpack

from services.segmenter.people.statements import (
    ConsentRecord,
    Statement,
    Subscription,
    TrackingRecord,
)
from shared.wire.supporters import AttributeValue


class Stated(NamedTuple):
    """A value and when it was stated, in milliseconds."""

    at: int
    value: AttributeValue


class StatedArea(NamedTuple):
    """An area's code (None: taken back), when it was given, and by which source."""

    at: int
    code: str | None
    source: str


class StatedSubscription(NamedTuple):
    """Whether they want mail, and since when."""

    at: int
    value: Subscription


class Joined(NamedTuple):
    """The earliest statement about them, and its source."""

    at: int
    source: str


class Bounce(NamedTuple):
    """A hard bounce of a mail sent then, and the key of the address that was theirs when we heard
    of it, if any.
    """

    at: int
    sent_at: int
    address_key: str | None


@dataclass(slots=True)
class Profile:
    """Everything known of one supporter. Values that were taken back stay, as None, with the time.

    Never changed once made.

    `addresses`: each address key ever stated and the first time it was; `identities`: (source,
    external id) and the first time; `topics`: whether they want mail about each they spoke of.
    """

    fields: Mapping[str, Stated] = field(default_factory=dict)
    attributes: Mapping[str, Stated] = field(default_factory=dict)
    tags: Mapping[str, Stated] = field(default_factory=dict)
    areas: Mapping[str, StatedArea] = field(default_factory=dict)
    identities: Mapping[tuple[str, str], int] = field(default_factory=dict)
    addresses: Mapping[str, int] = field(default_factory=dict)
    address_key: str | None = None
    consent: ConsentRecord | None = None
    subscription: StatedSubscription | None = None
    complained_at: int | None = None
    bounce: Bounce | None = None
    joined: Joined | None = None
    topics: Mapping[str, Stated] = field(default_factory=dict)
    tracking: TrackingRecord | None = None

    def text(self, name: str) -> str | None:
        """The current value of a field."""
        stated = self.fields.get(name)
        return None if stated is None or stated.value is None else str(stated.value)

    def topics_left(self) -> dict[str, int]:
        """Topics they want no mail about, each with when they said so."""
        return {name: stated.at for name, stated in self.topics.items() if stated.value is False}

    @property
    def unsubscribed_at(self) -> int | None:
        if self.subscription is None or self.subscription.value == "subscribed":
            return None
        return self.subscription.at

    @property
    def bounced_at(self) -> int | None:
        """When the present address bounced; a mail from before they had it went to another one."""
        if self.bounce is None or self.address_key is None:
            return None
        if self.bounce.address_key not in (None, self.address_key):
            return None
        since = self.addresses[self.address_key]
        return self.bounce.at if self.bounce.sent_at >= since else None


NOBODY_YET: Final = Profile()

_LESS: Final = ("all", "links", "none")
_NOTHING: Final[tuple[object, ...]] = (None, {}, [])


def fold(profile: Profile, statement: Statement) -> Profile:
    """The profile with one more statement. Any order, any repetition: the same profile."""
    at = statement.at
    fields = _newest(profile.fields, {n: Stated(at, v) for n, v in statement.fields.items()})
    addresses = profile.addresses
    key = profile.address_key
    if statement.address_key is not None:
        addresses = _earliest(addresses, statement.address_key, at)
    if fields is not profile.fields and fields.get("email") != profile.fields.get("email"):
        key = statement.address_key
    return Profile(
        fields=fields,
        attributes=_newest(
            profile.attributes, {n: Stated(at, v) for n, v in statement.attributes.items()}
        ),
        tags=_newest(profile.tags, {n: Stated(at, v) for n, v in statement.tags.items()}),
        areas=_newest(
            profile.areas,
            {kind: StatedArea(at, c, statement.source) for kind, c in statement.areas.items()},
        ),
        identities=profile.identities
        if statement.identity is None
        else _earliest(profile.identities, statement.identity, at),
        addresses=addresses,
        address_key=key,
        consent=_newer_consent(profile.consent, statement.consent),
        subscription=_newer_subscription(profile.subscription, at, statement.subscription),
        complained_at=profile.complained_at,
        bounce=profile.bounce,
        joined=_earlier(profile.joined, Joined(at, statement.source)),
        topics=_newest(profile.topics, {n: Stated(at, v) for n, v in statement.topics.items()}),
        tracking=_newer_tracking(profile.tracking, statement.tracking),
    )


def fold_unsubscribe(profile: Profile, at: int) -> Profile:
    """The profile after they asked, by a mail, for no more."""
    return replace(
        profile, subscription=_newer_subscription(profile.subscription, at, "unsubscribed")
    )


def fold_complaint(profile: Profile, at: int) -> Profile:
    """The profile after a complaint, which is never taken back."""
    first = at if profile.complained_at is None else min(at, profile.complained_at)
    return replace(profile, complained_at=first)


def fold_bounce(profile: Profile, at: int, sent_at: int) -> Profile:
    """The profile after a hard bounce at `at` of a mail sent at `sent_at`: of the address that is
    theirs when we hear of it, if they had it when it was sent.
    """
    if profile.bounce is not None and profile.bounce.at >= at:
        return profile
    return replace(profile, bounce=Bounce(at, sent_at, profile.address_key))


_T = TypeVar("_T", Stated, StatedArea)
_K = TypeVar("_K", str, tuple[str, str])
_N = TypeVar("_N", ConsentRecord, StatedSubscription, Bounce, Joined, TrackingRecord)


def _newest(known: Mapping[str, _T], stated: Mapping[str, _T]) -> Mapping[str, _T]:
    """Newest per name; the very same mapping when nothing is newer."""
    if not stated:
        return known
    newer = {
        name: entry
        for name, entry in stated.items()
        if (old := known.get(name)) is None or _wins(entry, old)
    }
    if not newer:
        return known
    return {**known, **newer} if known else newer


def _wins(entry: tuple[Any, ...], old: tuple[Any, ...]) -> bool:
    if entry[0] != old[0]:
        return bool(entry[0] > old[0])
    if entry == old and type(entry[1]) is type(old[1]):
        return False
    return _rank(entry) > _rank(old)


def _rank(entry: tuple[Any, ...]) -> tuple[int, str]:
    """Among statements of the same moment any fixed order will do, if "no" wins over "yes"."""
    value = entry[1]
    kind = 0 if value is None else 3 if value is False else 2 if value is True else 1
    return kind, json.dumps(entry[1:])


def _earliest(known: Mapping[_K, int], key: _K, at: int) -> Mapping[_K, int]:
    return known if known.get(key, at + 1) <= at else {**known, key: at}


def _earlier(known: Joined | None, stated: Joined) -> Joined:
    return stated if known is None else min(known, stated)


def _newer_consent(known: ConsentRecord | None, new: ConsentRecord | None) -> ConsentRecord | None:
    if known is None or new is None:
        return known or new
    return max(known, new, key=lambda record: (record.at, record.wording, record.source))


def _newer_tracking(
    known: TrackingRecord | None, new: TrackingRecord | None
) -> TrackingRecord | None:
    """The newest wins; of the same moment, who lets us see less."""
    if known is None or new is None:
        return known or new
    return max(known, new, key=lambda each: (each.at, _LESS.index(each.allows), each[2:]))


def _newer_subscription(
    known: StatedSubscription | None, at: int, value: Subscription | None
) -> StatedSubscription | None:
    """The newest wins; of the same moment, unsubscribed (the later word in the alphabet too)."""
    if value is None:
        return known
    new = StatedSubscription(at, value)
    return new if known is None else max(known, new)


def to_memory(profile: Profile) -> bytes:
    """The profile as the store keeps it: what there is, as MessagePack (four times as quick as
    JSON, and read and written for every change).
    """
    known = {
        "fields": profile.fields,
        "attributes": profile.attributes,
        "tags": profile.tags,
        "areas": profile.areas,
        "identities": [[*key, at] for key, at in profile.identities.items()],
        "addresses": profile.addresses,
        "address_key": profile.address_key,
        "consent": profile.consent,
        "subscription": profile.subscription,
        "complained_at": profile.complained_at,
        "bounce": profile.bounce,
        "joined": profile.joined,
        "topics": profile.topics,
        "tracking": profile.tracking,
    }
    kept = {name: value for name, value in known.items() if value not in _NOTHING}
    packed: bytes = msgpack.packb(kept)
    return packed


def from_memory(memory: bytes) -> Profile:
    """The inverse of `to_memory`."""
    known = msgpack.unpackb(memory)
    return Profile(
        fields=_all(Stated, known.get("fields")),
        attributes=_all(Stated, known.get("attributes")),
        tags=_all(Stated, known.get("tags")),
        areas=_all(StatedArea, known.get("areas")),
        identities={(source, id_): at for source, id_, at in known.get("identities", ())},
        addresses=known.get("addresses", {}),
        address_key=known.get("address_key"),
        consent=_one(ConsentRecord, known.get("consent")),
        subscription=_one(StatedSubscription, known.get("subscription")),
        complained_at=known.get("complained_at"),
        bounce=_one(Bounce, known.get("bounce")),
        joined=_one(Joined, known.get("joined")),
        topics=_all(Stated, known.get("topics")),
        tracking=_one(TrackingRecord, known.get("tracking")),
    )


def _all(kind: type[_T], entries: Mapping[str, Iterable[Any]] | None) -> dict[str, _T]:
    return {name: kind._make(entry) for name, entry in entries.items()} if entries else {}


def _one(kind: type[_N], entry: Iterable[Any] | None) -> _N | None:
    return None if entry is None else kind(*entry)
