"""The SNS envelope around an event, ready to be signed. Pure.

Fields and headers follow AWS, "Amazon SNS message and JSON formats" and "HTTP/HTTPS notification".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deploy.ses_sandbox.event_queue import DueEvent
from deploy.ses_sandbox.events import AccountIdentity, event_text
from deploy.ses_sandbox.timestamps import iso_millis

SUBJECT: Final = "Amazon SES Email Event Notification"
# Receivers refuse notifications that are an hour old; what waited longer is published anew.
FRESH_MS: Final = 15 * 60 * 1000


def notification(
    event: DueEvent, *, topic_arn: str, certificate_name: str, version: str, now_ms: int
) -> dict[str, str]:
    """The SNS envelope but for its signature; the same on every retry while it is fresh."""
    identity = AccountIdentity.of_topic(topic_arn)
    host = f"https://sns.{identity.region}.amazonaws.com"
    happened_ms = event.planned.happened_ms
    published_ms = happened_ms if now_ms - happened_ms < FRESH_MS else now_ms
    return {
        "Type": "Notification",
        "MessageId": event.planned.sns_message_id,
        "TopicArn": topic_arn,
        "Subject": SUBJECT,
        "Message": event_text(event.mail, event.planned, event.accepted_ms, identity.region),
        "Timestamp": iso_millis(published_ms),
        "SignatureVersion": version,
        "SigningCertURL": f"{host}/{certificate_name}",
        "UnsubscribeURL": (
            f"{host}/?Action=Unsubscribe&SubscriptionArn={subscription_arn(topic_arn)}"
        ),
    }


def subscription_arn(topic_arn: str) -> str:
    """The one subscription of the sandbox's topic."""
    return f"{topic_arn}:5d0f2a6c-0000-4000-8000-d00257e90000"


def post_headers(envelope: Mapping[str, str]) -> dict[str, str]:
    """The HTTP headers SNS sends along."""
    return {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": envelope["Type"],
        "x-amz-sns-message-id": envelope["MessageId"],
        "x-amz-sns-topic-arn": envelope["TopicArn"],
        "x-amz-sns-subscription-arn": subscription_arn(envelope["TopicArn"]),
    }
