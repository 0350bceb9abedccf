"""What a message of the event queue is: SES's notification in SNS's envelope, or by itself. Pure.

SNS puts its envelope around what it delivers to a queue unless raw delivery is switched on. Nothing
is signed by us to be checked here: who may put something into the queue is said by its policy, and
the topic in the envelope must be one of ours all the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from services.tracker.ses_events import kind_of, read_notification, read_tags
from shared.errors import NeverRetry


class NotTaken(NeverRetry):
    """A message that is left in the queue, for the queue's own dead letters."""


@dataclass(frozen=True, slots=True)
class Taken:
    """`ours`: to be kept, as the `text` of a notification. `foreign`, `greeting`: known, and of no
    use to us. `kind` as SES calls it.
    """

    what: Literal["ours", "foreign", "greeting"]
    kind: str = ""
    text: str = ""


def read_queue_message(body: str, topic_arns: Collection[str]) -> Taken:
    """Raises NotTaken when it is neither, or from a topic that is not ours."""
    found = _object(body)
    if found is None:
        raise NotTaken("the message is not a JSON object")
    if "Type" in found or "TopicArn" in found:
        text = _enveloped(found, topic_arns)
    elif kind_of(found):
        text = body
    else:
        raise NotTaken("the message is neither an envelope of SNS nor an event of SES")
    notification = read_notification(text)
    if notification is None:
        return Taken("greeting")
    if read_tags(notification) is None:
        return Taken("foreign")
    return Taken("ours", kind_of(notification), text.encode("utf-8", "replace").decode())


def _enveloped(found: dict[str, Any], topic_arns: Collection[str]) -> str:
    topic, text = found.get("TopicArn"), found.get("Message")
    if topic not in topic_arns:
        raise NotTaken("the topic is not one of DOORSTEP_TRACKER__TOPIC_ARNS")
    if found.get("Type") != "Notification" or not isinstance(text, str):
        raise NotTaken("the envelope of SNS holds no notification")
    return text


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
