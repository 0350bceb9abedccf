"""Notifications of SES as event publishing sends them, one of each kind, with our sender's tags.

Shapes follow AWS, "Contents of event data that Amazon SES publishes to Amazon SNS"; all names and
addresses are made up.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.unit.tracker.building import ADA, SEND, message_of

ADDRESS = "ada@constituent.example"
SES_ID = "0102018f3c5a9e10-7b1d2c44-5e6f-4a7b-8c9d-0e1f2a3b4c5d-000000"
TAGS = {
    "m": message_of(),
    "p": ADA,
    "s": SEND,
    "v": "plain",
    "e": b"E05000001".hex(),
    "o": "0",
    "a": "1",
}


def mail(tags: dict[str, str] | None = None, *, headers: bool = True) -> dict[str, Any]:
    """The `mail` object that all events of a message share."""
    own = TAGS if tags is None else tags
    found: dict[str, Any] = {
        "timestamp": "2026-05-07T18:00:00.123Z",
        "source": "Hilltop <news@hilltop.example>",
        "sourceArn": "arn:aws:ses:eu-west-2:000000000000:identity/hilltop.example",
        "sendingAccountId": "000000000000",
        "messageId": SES_ID,
        "destination": [ADDRESS],
        "headersTruncated": False,
        "tags": {
            "ses:operation": ["SendEmail"],
            "ses:configuration-set": ["doorstep"],
            "ses:source-ip": ["192.0.2.10"],
            **{name: [value] for name, value in own.items()},
        },
    }
    if headers:
        found["headers"] = [{"name": "To", "value": ADDRESS}, {"name": "Subject", "value": "Hi"}]
        found["commonHeaders"] = {"to": [ADDRESS], "subject": "Hi", "messageId": SES_ID}
    return found


def _dsn(status: str, said: str) -> dict[str, str]:
    return {
        "emailAddress": ADDRESS,
        "action": "failed",
        "status": status,
        "diagnosticCode": f"smtp; 550 {status} <{ADDRESS}> {said}",
    }


def _bounce(kind: str, subtype: str, feedback: str, recipient: dict[str, str]) -> dict[str, Any]:
    return {
        "feedbackId": f"0102018f3c5a{feedback}-1c2d3e4f-0000-4111-8222-333344445555-000000",
        "bounceType": kind,
        "bounceSubType": subtype,
        "bouncedRecipients": [recipient],
        "timestamp": "2026-05-07T18:00:02.000Z",
        "reportingMTA": "dns; b1.smtp-out.eu-west-2.example",
    }


def _topics(*, everything: bool) -> dict[str, Any]:
    status = "OptOut" if everything else "OptIn"
    one = {"topicName": "weekly", "subscriptionStatus": status}
    return {"unsubscribeAll": everything, "topicSubscriptionStatus": [one]}


FIXTURES: dict[str, dict[str, Any]] = {
    "send": {"eventType": "Send", "send": {}},
    "delivery": {
        "eventType": "Delivery",
        "delivery": {
            "timestamp": "2026-05-07T18:00:01.410Z",
            "processingTimeMillis": 1287,
            "recipients": [ADDRESS],
            "smtpResponse": f"250 2.1.5 <{ADDRESS}> ok",
            "remoteMtaIp": "203.0.113.25",
        },
    },
    "hard bounce": {
        "eventType": "Bounce",
        "bounce": _bounce("Permanent", "General", "aaaa", _dsn("5.1.1", "user unknown")),
    },
    "account suppression list": {
        "eventType": "Bounce",
        "bounce": _bounce(
            "Permanent", "OnAccountSuppressionList", "bbbb", _dsn("5.1.1", "on the list")
        ),
    },
    "soft bounce": {
        "eventType": "Bounce",
        "bounce": _bounce("Transient", "MailboxFull", "cccc", {"emailAddress": ADDRESS}),
    },
    "complaint": {
        "eventType": "Complaint",
        "complaint": {
            "feedbackId": "0102018f3c5adddd-1c2d3e4f-0000-4111-8222-333344445555-000000",
            "complaintSubType": None,
            "complainedRecipients": [{"emailAddress": ADDRESS}],
            "timestamp": "2026-05-07T19:15:00.000Z",
            "userAgent": "ExampleISP-FBL/1.0",
            "complaintFeedbackType": "abuse",
            "arrivalDate": "2026-05-07T19:14:40.000Z",
        },
    },
    "reject": {"eventType": "Reject", "reject": {"reason": "Bad content"}},
    "delay": {
        "eventType": "DeliveryDelay",
        "deliveryDelay": {
            "timestamp": "2026-05-07T18:10:40.095Z",
            "delayType": "TransientCommunicationFailure",
            "expirationTime": "2026-05-08T08:00:40.914Z",
            "delayedRecipients": [
                {
                    "emailAddress": ADDRESS,
                    "status": "4.4.1",
                    "diagnosticCode": "smtp; 421 4.4.1 unable to connect",
                }
            ],
        },
    },
    "open": {
        "eventType": "Open",
        "open": {
            "ipAddress": "198.51.100.7",
            "timestamp": "2026-05-07T18:12:00.652Z",
            "userAgent": "Mozilla/5.0",
        },
    },
    "click": {
        "eventType": "Click",
        "click": {
            "ipAddress": "198.51.100.7",
            "link": "https://hilltop.example/",
            "linkTags": {"slot": ["cta1"]},
            "timestamp": "2026-05-07T18:12:30.570Z",
            "userAgent": "Mozilla/5.0",
        },
    },
    "rendering failure": {
        "eventType": "Rendering Failure",
        "failure": {"templateName": "spring", "errorMessage": "Attribute 'name' is not present"},
    },
    "subscription": {
        "eventType": "Subscription",
        "subscription": {
            "contactList": "supporters",
            "timestamp": "2026-05-07T18:20:17.910Z",
            "source": "UnsubscribeHeader",
            "newTopicPreferences": _topics(everything=True),
            "oldTopicPreferences": _topics(everything=False),
        },
    },
}
"""By what it says; `mail` is added by `notification`."""

VARIANTS: dict[str, dict[str, Any]] = {
    "no such address": {
        "eventType": "Bounce",
        "bounce": _bounce("Permanent", "NoEmail", "ffff", _dsn("5.1.1", "no such user")),
    },
    "global suppression list": {
        "eventType": "Bounce",
        "bounce": _bounce("Permanent", "Suppressed", "ffee", _dsn("5.1.1", "suppressed")),
    },
    "undetermined bounce": {
        "eventType": "Bounce",
        "bounce": _bounce("Undetermined", "Undetermined", "ffdd", {"emailAddress": ADDRESS}),
    },
    "soft bounce with a hard status": {
        "eventType": "Bounce",
        "bounce": _bounce("Transient", "General", "ffcc", _dsn("5.4.4", "no route")),
    },
    "content refused": {
        "eventType": "Bounce",
        "bounce": _bounce("Transient", "ContentRejected", "ffbb", _dsn("5.6.0", "content")),
    },
    "complaint taken back": {
        "eventType": "Complaint",
        "complaint": {
            "feedbackId": "0102018f3c5affaa-1c2d3e4f-0000-4111-8222-333344445555-000000",
            "complainedRecipients": [{"emailAddress": ADDRESS}],
            "timestamp": "2026-05-07T20:15:00.000Z",
            "complaintFeedbackType": "not-spam",
        },
    },
    "complaint of one who is on the list": {
        "eventType": "Complaint",
        "complaint": {
            "feedbackId": "0102018f3c5aff99-1c2d3e4f-0000-4111-8222-333344445555-000000",
            "complaintSubType": "OnAccountSuppressionList",
            "complainedRecipients": [{"emailAddress": ADDRESS}],
            "timestamp": "2026-05-07T20:16:00 +0000",
        },
    },
    "second delay": {
        "eventType": "DeliveryDelay",
        "deliveryDelay": {
            "timestamp": "2026-05-07T18:40:40.095Z",
            "delayType": "MailboxFull",
            "delayedRecipients": [{"emailAddress": ADDRESS}],
        },
    },
}
"""Further tellings of the same kinds."""

IDENTITY_FEEDBACK: dict[str, Any] = {
    "notificationType": "Bounce",
    "bounce": _bounce("Permanent", "NoEmail", "eeee", _dsn("5.1.1", "no such user")),
    "mail": {key: value for key, value in mail(headers=False).items() if key != "tags"},
}
"""The older, identity-level notice: it knows no tags."""


def notification(name: str, tags: dict[str, str] | None = None) -> dict[str, Any]:
    short = name in ("delay", "soft bounce")  # SES leaves the headers out of some
    return {**copy.deepcopy((FIXTURES | VARIANTS)[name]), "mail": mail(tags, headers=not short)}


def text(name: str, tags: dict[str, str] | None = None) -> str:
    """As it stands in the `Message` of SNS: JSON and a line end."""
    return json.dumps(notification(name, tags)) + "\n"
