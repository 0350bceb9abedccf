"""What a notification of SES says, as events and suppressions. Pure.

In any order and any number of times the same notification gives the same ids. Shapes follow AWS,
"Contents of event data that Amazon SES publishes to Amazon SNS". A bounce is hard or soft by its
`bounceType` alone: a status that begins with 5 inside a transient bounce is not a hard one.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any, Final

from shared.errors import NeverRetry
from shared.ids import BadAddress, address_key, event_id
from shared.wire.events import Event, EventKind
from shared.wire.supporters import AttributeValue
from shared.wire.suppressions import Suppression

EVERYTHING: Final = "everything"

_CONTENT_SUBTYPES: Final = frozenset({"MessageTooLarge", "ContentRejected", "AttachmentRejected"})
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z -]{0,63}")
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")


class Unreadable(NeverRetry):
    """A verified notification with our tags that does not look as SES documents it."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What the sender wrote on the mail; see the tag names in `read_tags`."""

    message_id: str
    supporter_id: str
    send_id: str
    variant: str | None
    edition: str
    occurrence: int
    attempt: int | None


@dataclass(frozen=True, slots=True)
class Happening:
    """What one notification amounts to: `event_id` is the same for every telling of it."""

    event_id: str
    event: Event
    suppressions: tuple[Suppression, ...] = ()


@dataclass(frozen=True, slots=True)
class _Telling:
    """One kind of notification, read: what it is an event of, and whom not to mail any more."""

    kind: EventKind
    at: datetime
    mark: str
    reason: str | None = None
    properties: Mapping[str, AttributeValue] | None = None
    addresses: tuple[str, ...] = ()
    supporter_too: bool = False


def read_notification(text: str) -> Mapping[str, Any] | None:
    """The JSON object in an SNS message; None when there is none (SES's plain-text greeting)."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def read_tags(notification: Mapping[str, Any]) -> Tags | None:
    """The tags of our sender; None when the mail was not ours (or an identity-level notice).

    `m` message, `p` supporter, `s` send, `v` variant, `e` edition as hex of UTF-8, `o` occurrence,
    `a` attempt; each arrives as a list of one.
    """
    mail = notification.get("mail")
    found = mail.get("tags") if isinstance(mail, dict) else None
    if not isinstance(found, dict):
        return None
    tags = {
        name: values[0]
        for name in "mpsveoa"
        if isinstance(values := found.get(name), list)
        and values
        and isinstance(values[0], str)
        and _TAG.fullmatch(values[0])
    }
    try:
        return Tags(
            message_id=str(uuid.UUID(tags["m"])),
            supporter_id=str(uuid.UUID(tags["p"])),
            send_id=tags["s"],
            variant=tags.get("v"),
            edition=bytes.fromhex(tags.get("e", "")).decode(),
            occurrence=int(tags.get("o", "0")),
            attempt=int(tags["a"]) if "a" in tags else None,
        )
    except (KeyError, ValueError):
        return None


def kind_of(notification: Mapping[str, Any]) -> str:
    """The word SES calls it by; "" when it has none."""
    found = notification.get("eventType") or notification.get("notificationType")
    return found if isinstance(found, str) else ""


def happening(notification: Mapping[str, Any], tags: Tags, secret: bytes) -> Happening | None:
    """What happened to our message; None for kinds that say nothing we use.

    `secret` keys the hashes of bounced addresses. Raises Unreadable.
    """
    read = _READERS.get(kind_of(notification))
    if read is None:
        return None
    try:
        told = read(notification)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(
            f"a {kind_of(notification)} notification of SES cannot be read: "
            f"{type(error).__name__} {error}"
        ) from error
    return None if told is None else _happening(told, notification, tags, secret)


def _happening(
    told: _Telling, notification: Mapping[str, Any], tags: Tags, secret: bytes
) -> Happening:
    ses_message_id = notification["mail"].get("messageId")
    event = Event(
        kind=told.kind,
        supporter_id=tags.supporter_id,
        at=told.at,
        message_id=tags.message_id,
        send_id=tags.send_id,
        occurrence=tags.occurrence,
        variant=tags.variant,
        edition=tags.edition,
        reason=told.reason,
        attempt=tags.attempt,
        ses_message_id=ses_message_id if isinstance(ses_message_id, str) else None,
        properties=dict(told.properties or {}),
    )
    identity = event_id(tags.message_id, told.kind, told.mark)
    return Happening(identity, event, _suppressions(told, tags, secret))


def _suppressions(told: _Telling, tags: Tags, secret: bytes) -> tuple[Suppression, ...]:
    subjects = [key for address in told.addresses if (key := _key(address, secret))]
    if told.supporter_too:
        subjects.append(tags.supporter_id)
    reason = "complained" if told.kind == "complained" else "hard_bounce"
    return tuple(
        Suppression(subject=subject, scope=EVERYTHING, reason=reason, at=told.at)
        for subject in dict.fromkeys(subjects)
    )


def _key(address: str, secret: bytes) -> str | None:
    """The key of `ada@example.org` or `Ada <ada@example.org>`; None when it is no address."""
    try:
        return address_key(parseaddr(address)[1] or address, secret)
    except BadAddress:
        return None


def _send(notification: Mapping[str, Any]) -> _Telling:
    at, mark = _time(notification["mail"]["timestamp"])
    return _Telling("ses_sent", at, mark)


def _delivery(notification: Mapping[str, Any]) -> _Telling:
    delivery = notification["delivery"]
    at, mark = _time(delivery["timestamp"])
    took = delivery.get("processingTimeMillis")
    known = isinstance(took, int) and not isinstance(took, bool)
    return _Telling("delivered", at, mark, properties={"processing_ms": took} if known else None)


def _bounce(notification: Mapping[str, Any]) -> _Telling:
    bounce = notification["bounce"]
    at, mark = _time(bounce["timestamp"])
    subtype = _word(bounce.get("bounceSubType"))
    hard = bounce["bounceType"] == "Permanent" and subtype not in _CONTENT_SUBTYPES
    recipients = bounce["bouncedRecipients"]
    properties = _known(
        bounce_type=_word(bounce["bounceType"]),
        bounce_subtype=subtype,
        status=_status(recipients[0].get("status") if recipients else None),
    )
    return _Telling(
        "bounced" if hard else "soft_bounced",
        at,
        _feedback(bounce, mark),
        reason=subtype,
        properties=properties,
        addresses=_addresses(recipients) if hard else (),
    )


def _complaint(notification: Mapping[str, Any]) -> _Telling | None:
    """None for `not-spam`: the recipient took a complaint back."""
    complaint = notification["complaint"]
    feedback_type = _word(complaint.get("complaintFeedbackType"))
    if feedback_type == "not-spam":
        return None
    at, mark = _time(complaint["timestamp"])
    return _Telling(
        "complained",
        at,
        _feedback(complaint, mark),
        reason=feedback_type,
        properties=_known(
            feedback_type=feedback_type,
            complaint_subtype=_word(complaint.get("complaintSubType")),
        ),
        addresses=_addresses(complaint["complainedRecipients"]),
        supporter_too=True,
    )


def _reject(notification: Mapping[str, Any]) -> _Telling:
    at, mark = _time(notification["mail"]["timestamp"])
    return _Telling("rejected", at, mark, reason=_word(notification["reject"].get("reason")))


def _delay(notification: Mapping[str, Any]) -> _Telling:
    delay = notification["deliveryDelay"]
    at, mark = _time(delay["timestamp"])
    kind = _word(delay.get("delayType"))
    recipients = delay.get("delayedRecipients") or [{}]
    properties = _known(delay_type=kind, status=_status(recipients[0].get("status")))
    return _Telling("delayed", at, mark, reason=kind, properties=properties)


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], _Telling | None]]] = {
    "Send": _send,
    "Delivery": _delivery,
    "Bounce": _bounce,
    "Complaint": _complaint,
    "Reject": _reject,
    "DeliveryDelay": _delay,
}


def _time(text: str) -> tuple[datetime, str]:
    """The time and the words it stood in.

    SES has written both `2026-05-04T09:00:00.123Z` and `2018-10-08T14:05:45 +0000`.
    """
    at = datetime.fromisoformat(text.replace(" ", ""))
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at.astimezone(UTC), text


def _feedback(part: Mapping[str, Any], mark: str) -> str:
    found = part.get("feedbackId")
    return found if isinstance(found, str) and found else mark


def _addresses(recipients: list[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(recipient["emailAddress"]) for recipient in recipients)


def _word(value: object) -> str | None:
    """A word of SES's own vocabulary; never free text, which may hold an address."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _status(value: object) -> str | None:
    return value if isinstance(value, str) and _STATUS.fullmatch(value) else None


def _known(**properties: str | None) -> dict[str, AttributeValue]:
    return {name: value for name, value in properties.items() if value is not None}
