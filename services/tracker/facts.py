"""From a stored raw hit to the records it becomes: events, suppressions, statements. Pure.

Every id is derived from what makes the hit one, so that making the facts again gives the same
records. No event holds an IP address or a mail address; who did it stands beside the raw facts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

from services.tracker.raw_hits import (
    ActionHit,
    Bearer,
    LinkHit,
    PreferencesHit,
    RawHit,
    SesHit,
    UnsubscribeHit,
)
from services.tracker.ses_events import (
    EVERYTHING,
    Unreadable,
    happening,
    read_notification,
    read_tags,
)
from shared.classification.agents import VERSION, classify
from shared.clock import from_ms
from shared.ids import event_id, message_id
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import EVENTS, SUPPORTERS, SUPPRESSIONS
from shared.programme.links import HIDDEN_LINK
from shared.wire.cloudevents import encode
from shared.wire.events import Event
from shared.wire.supporters import (
    FREQUENCY,
    AttributeValue,
    ExternalIdentity,
    SupporterChanged,
    TrackingChoice,
)
from shared.wire.suppressions import Suppression

SOURCE: Final = "tracker"
PREFERENCES_SOURCE: Final = "preference-page"
ACTIONS_SOURCE: Final = "actions-api"
"""The `source` of statements about people that the campaign's own site makes."""

_ADDRESS: Final = re.compile(r"[^\s()<>\[\];,\"']+@[^\s()<>\[\];,\"']+")


@dataclass(frozen=True, slots=True)
class Mailing:
    """What the hashes of a token stand for. None: not known (any more)."""

    send_id: str
    variant: str | None
    edition: str | None


MailingOf = Callable[[Bearer], Mailing | None]
"""Looks a token's hashes up in the programme; None when no such send is known."""


@dataclass(frozen=True, slots=True)
class Making:
    """What is needed besides the hit. `secret` keys the hashes of addresses."""

    mailing_of: MailingOf
    partitions: int
    secret: bytes


def records(hit: RawHit, hit_id: str, making: Making) -> list[Record]:
    """The records of one hit. `hit_id` is the hit's own name: spool and offset.

    Raises NeverRetry for a SES notification that does not look as documented.
    """
    match hit:
        case LinkHit():
            return [_link_event(hit, hit_id, making)]
        case UnsubscribeHit():
            return list(_unsubscribed(hit, making))
        case ActionHit():
            return list(_acted(hit, making))
        case PreferencesHit():
            return list(_preferred(hit, making))
        case SesHit():
            return list(_ses(hit, making))
        case _:
            assert_never(hit)


def action_event_id(hit: ActionHit) -> str:
    """The same for every retry. The person and the action are part of it, so that two systems that
    happen on the same idempotency key do not swallow each other's actions.
    """
    return event_id("acted", hit.key_hash, hit.action, hit.supporter_id)


def has_address(text: str) -> bool:
    """Whether something that looks like a mail address stands in it."""
    return "@" in text and _ADDRESS.search(text) is not None


def without_addresses(text: str) -> str:
    """A user agent less the mail addresses that some programs leave in it."""
    return _ADDRESS.sub("(address)", text) if "@" in text else text


def _link_event(hit: LinkHit, hit_id: str, making: Making) -> Record:
    user_agent = _shown(hit.user_agent)
    agent = classify(user_agent, hit.method, click=hit.kind == "clicked")
    event = Event(
        kind=hit.kind,
        supporter_id=hit.bearer.supporter_id,
        at=from_ms(hit.at_ms),
        link=hit.link,
        agent="scanner" if hit.link == HIDDEN_LINK else agent,
        agent_version=VERSION,
        user_agent=user_agent,
        method=hit.method,
        **_mail(hit.bearer, making),
    )
    return _event_record(event, event_id("hit", hit_id), making)


def _unsubscribed(hit: UnsubscribeHit, making: Making) -> Iterator[Record]:
    """One event a day and mail: a retry is the same one, a later change of mind is another."""
    at, bearer = from_ms(hit.at_ms), hit.bearer
    event = Event(
        kind="unsubscribed",
        supporter_id=bearer.supporter_id,
        at=at,
        reason="one-click" if hit.one_click else "page",
        user_agent=_shown(hit.user_agent),
        method="POST",
        **_mail(bearer, making),
    )
    identity = event_id(
        "unsubscribed", bearer.supporter_id, bearer.send_hash, bearer.occurrence, str(at.date())
    )
    yield _event_record(event, identity, making)
    yield _suppression_record(
        Suppression(subject=bearer.supporter_id, scope=EVERYTHING, reason="unsubscribed", at=at),
        identity,
        making,
    )


def _preferred(hit: PreferencesHit, making: Making) -> Iterator[Record]:
    """The event, what the segmenter is told, and, at once, a suppression for each topic left. To
    lift one is for the segmenter alone, which knows who else is behind the inbox.
    """
    at, bearer = from_ms(hit.at_ms), hit.bearer
    supporter_id = bearer.supporter_id
    identity = event_id("preferred", supporter_id, bearer.send_hash, bearer.occurrence, hit.at_ms)
    event = Event(
        kind="preferred",
        supporter_id=supporter_id,
        at=at,
        properties=_chosen(hit),
        user_agent=_shown(hit.user_agent),
        method="POST",
        **_mail(bearer, making),
    )
    yield _event_record(event, identity, making)
    yield _change_record(_preferences(hit, at), identity, making)
    for topic, wanted in sorted(hit.topics.items()):
        if not wanted:
            left = Suppression(
                subject=supporter_id, scope=f"topic:{topic}", reason="unsubscribed", at=at
            )
            yield _suppression_record(left, identity, making)


def _chosen(hit: PreferencesHit) -> dict[str, AttributeValue]:
    """What was changed, for analysts: not where somebody lives, only that they told us."""
    said = {"frequency": hit.frequency, "language": hit.language, "tracking": hit.tracking}
    return {
        **{f"topic.{topic}": wanted for topic, wanted in sorted(hit.topics.items())},
        **{name: value for name, value in said.items() if value is not None},
        **({"area": True} if hit.postcode is not None else {}),
    }


def _preferences(hit: PreferencesHit, at: datetime) -> SupporterChanged:
    profile = {"language": hit.language, "postcode": hit.postcode}
    tracking = hit.tracking and TrackingChoice(
        allows=hit.tracking, wording=hit.wording, source=PREFERENCES_SOURCE, at=at
    )
    return SupporterChanged(
        supporter_id=hit.bearer.supporter_id,
        stated_by="supporter",
        source=PREFERENCES_SOURCE,
        at=at,
        profile={name: value for name, value in profile.items() if value is not None},
        attributes={FREQUENCY: hit.frequency} if hit.frequency is not None else {},
        topics=hit.topics,
        tracking=tracking,
    )


def _acted(hit: ActionHit, making: Making) -> Iterator[Record]:
    at = from_ms(hit.at_ms)
    identity = action_event_id(hit)
    if hit.email is not None:
        yield _statement_record(hit, hit.email, at, identity, making)
    bearer = hit.bearer
    came_by = bearer.supporter_id if bearer is not None else None
    event = Event(
        kind="acted",
        supporter_id=hit.supporter_id,
        at=at,
        action=hit.action,
        came_by=came_by if came_by != hit.supporter_id else None,
        properties=hit.properties,
        **(_mail(bearer, making) if bearer is not None else {}),
    )
    yield _event_record(event, identity, making)


def _ses(hit: SesHit, making: Making) -> Iterator[Record]:
    notification = read_notification(hit.text)
    tags = read_tags(notification) if notification is not None else None
    if notification is None or tags is None:
        raise Unreadable("a notification of SES without our tags was put into the spool")
    found = happening(notification, tags, making.secret)
    if found is None:
        return
    event = found.event.model_copy(update={"told_at": from_ms(hit.at_ms)})
    yield _event_record(event, found.event_id, making)
    for suppression in found.suppressions:
        yield _suppression_record(suppression, found.event_id, making)


def _mail(bearer: Bearer, making: Making) -> dict[str, Any]:
    """The fields of an event that name the mail it came by: the one the bearer was sent."""
    mailing = making.mailing_of(bearer)
    if mailing is None:
        return {"occurrence": bearer.occurrence}
    return {
        "send_id": mailing.send_id,
        "message_id": message_id(mailing.send_id, bearer.supporter_id, bearer.occurrence),
        "occurrence": bearer.occurrence,
        "variant": mailing.variant,
        "edition": mailing.edition,
    }


def _event_record(event: Event, identity: str, making: Making) -> Record:
    return encode(
        event,
        id=identity,
        source=SOURCE,
        subject=event.message_id or event.supporter_id,
        time=event.at,
        topic=EVENTS,
        partition=partition_of(event.supporter_id, making.partitions),
        key=event.supporter_id,
        type_name=f"doorstep.{event.kind}",
    )


def _suppression_record(suppression: Suppression, cause: str, making: Making) -> Record:
    return encode(
        suppression,
        id=event_id("suppression", suppression.key, cause),
        source=SOURCE,
        subject=suppression.subject,
        time=suppression.at,
        topic=SUPPRESSIONS,
        partition=partition_of(suppression.key, making.partitions),
        key=suppression.key,
    )


def _statement_record(
    hit: ActionHit, email: str, at: datetime, cause: str, making: Making
) -> Record:
    """Who the site says acted. No consent is stated, so this alone makes nobody mailable."""
    identity = None
    if hit.source is not None and hit.external_id is not None:
        identity = ExternalIdentity(source=hit.source, external_id=hit.external_id)
    statement = SupporterChanged(
        supporter_id=hit.supporter_id,
        stated_by="api",
        source=ACTIONS_SOURCE,
        at=at,
        identity=identity,
        profile={"email": email},
    )
    return _change_record(statement, cause, making)


def _change_record(change: SupporterChanged, cause: str, making: Making) -> Record:
    return encode(
        change,
        id=event_id("statement", cause),
        source=SOURCE,
        subject=change.supporter_id,
        time=change.at,
        topic=SUPPORTERS,
        partition=partition_of(change.supporter_id, making.partitions),
        key=change.supporter_id,
    )


def _shown(user_agent: str | None) -> str | None:
    return None if user_agent is None else without_addresses(user_agent)
