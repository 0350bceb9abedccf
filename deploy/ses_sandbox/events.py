"""SES's event records in the form of event publishing, as JSON text. Pure.

Shapes follow the contents that AWS documents for SNS event publishing: `eventType`, a `mail`
object with tags as lists, and one object named after the event.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.ses_sandbox.accepted_mail import AcceptedMail
from deploy.ses_sandbox.addresses import bare_address, domain_of, split_addresses
from deploy.ses_sandbox.chance import drawn_uuid
from deploy.ses_sandbox.event_plan import PlannedEvent
from deploy.ses_sandbox.mailboxes import Fate
from deploy.ses_sandbox.timestamps import iso_millis

CALLER_IDENTITY: Final = "doorstep-sandbox"
OUTGOING_IP: Final = "192.0.2.25"
MAX_HEADER_BYTES: Final = 10 * 1024
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))

# bounceType, bounceSubType, and the DSN fields that SES knows of such a bounce.
_BOUNCES: Final[Mapping[Fate, tuple[str, str, Mapping[str, str]]]] = {
    "hard_bounce": (
        "Permanent",
        "General",
        {
            "action": "failed",
            "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 user unknown",
        },
    ),
    "soft_bounce": ("Transient", "MailboxFull", {}),
    "suppressed": (
        "Permanent",
        "OnAccountSuppressionList",
        {
            "action": "failed",
            "status": "5.1.1",
            "diagnosticCode": (
                "Amazon SES did not send the message to this address because it is on the"
                " suppression list for your account."
            ),
        },
    ),
}


@dataclass(frozen=True, slots=True)
class AccountIdentity:
    """Region and account number, as they stand in ARNs."""

    region: str
    account_id: str

    @classmethod
    def of_topic(cls, topic_arn: str) -> AccountIdentity:
        """Read off `arn:aws:sns:REGION:ACCOUNT:NAME`. Raises ValueError for another shape."""
        parts = topic_arn.split(":")
        if len(parts) != 6 or parts[:3] != ["arn", "aws", "sns"] or not all(parts[3:]):
            raise ValueError(
                f"'{topic_arn}' is not a topic ARN; expected arn:aws:sns:REGION:ACCOUNT:NAME"
            )
        return cls(parts[3], parts[4])


def mail_record(mail: AcceptedMail, identity: AccountIdentity) -> str:
    """The `mail` object shared by all events of a mail, as JSON text."""
    sender = bare_address(mail.source, "source")
    headers, truncated = _within_limit(mail.headers)
    tags = {
        "ses:operation": "SendEmail",
        "ses:configuration-set": mail.configuration_set or "",
        "ses:source-ip": mail.source_ip,
        "ses:from-domain": domain_of(sender),
        "ses:caller-identity": CALLER_IDENTITY,
        **dict(mail.tags),
    }
    record = {
        "timestamp": iso_millis(mail.accepted_ms),
        "source": mail.source,
        "sourceArn": (
            f"arn:aws:ses:{identity.region}:{identity.account_id}:identity/{domain_of(sender)}"
        ),
        "sendingAccountId": identity.account_id,
        "messageId": mail.message_id,
        "destination": list(mail.recipients),
        "headersTruncated": truncated,
        "headers": [{"name": name, "value": value} for name, value in headers],
        "commonHeaders": _common_headers(mail),
        "tags": {name: [value] for name, value in tags.items()},
    }
    return _COMPACT.encode(record)


def event_text(mail: str, planned: PlannedEvent, accepted_ms: int, region: str) -> str:
    """The event as SES hands it to SNS: the record and a line end."""
    detail = _COMPACT.encode(_detail(planned, accepted_ms, region))
    key = planned.event_type.lower()
    if planned.event_type == "Delivery":
        mail = mail.replace('"tags":{', f'"tags":{{"ses:outgoing-ip":["{OUTGOING_IP}"],', 1)
    return f'{{"eventType":"{planned.event_type}","mail":{mail},"{key}":{detail}}}\n'


def _detail(planned: PlannedEvent, accepted_ms: int, region: str) -> dict[str, object]:
    timestamp = iso_millis(planned.happened_ms)
    mta = f"a0-1.smtp-out.{region}.{OUTGOING_IP}.sandbox.amazonses.com"
    match planned.event_type:
        case "Send":
            return {}
        case "Delivery":
            return {
                "timestamp": timestamp,
                "processingTimeMillis": planned.happened_ms - accepted_ms,
                "recipients": list(planned.recipients),
                "smtpResponse": "250 2.0.0 OK sandbox",
                "reportingMTA": mta,
            }
        case "Bounce":
            return _bounce(planned, timestamp, mta)
        case "Complaint":
            return {
                "feedbackId": _feedback_id(planned),
                "complaintSubType": None,
                "complainedRecipients": [{"emailAddress": to} for to in planned.recipients],
                "timestamp": timestamp,
                "userAgent": "Sandbox-Feedback-Loop/1.0",
                "complaintFeedbackType": "abuse",
                "arrivalDate": timestamp,
            }


def _bounce(planned: PlannedEvent, timestamp: str, mta: str) -> dict[str, object]:
    bounce_type, sub_type, status = _BOUNCES[planned.fate]
    bounce: dict[str, object] = {
        "feedbackId": _feedback_id(planned),
        "bounceType": bounce_type,
        "bounceSubType": sub_type,
        "bouncedRecipients": [{"emailAddress": to, **status} for to in planned.recipients],
        "timestamp": timestamp,
    }
    if planned.fate == "suppressed":
        bounce["reportingMTA"] = "dns; amazonses.com"
    elif status:
        bounce["reportingMTA"] = f"dns; {mta}"
    return bounce


def _feedback_id(planned: PlannedEvent) -> str:
    """Fixed for an event, also when it is told twice under two SNS ids."""
    what = (planned.message_id, planned.event_type, planned.fate)
    return f"0102{planned.happened_ms:012x}-{drawn_uuid('feedback', *what)}-000000"


def _common_headers(mail: AcceptedMail) -> dict[str, object]:
    values: dict[str, str] = {}
    for name, value in mail.headers:
        values.setdefault(name.lower(), value)
    common: dict[str, object] = {"from": [values.get("from", mail.source)]}
    if "date" in values:
        common["date"] = values["date"]
    for header, key in (("to", "to"), ("cc", "cc"), ("reply-to", "replyTo")):
        if header in values:
            common[key] = [_written(pair) for pair in split_addresses(values[header])]
    common["messageId"] = mail.message_id
    if "subject" in values:
        common["subject"] = values["subject"]
    return common


def _written(pair: tuple[str, str]) -> str:
    name, address = pair
    return f"{name} <{address}>" if name else address


def _within_limit(
    headers: Iterable[tuple[str, str]],
) -> tuple[list[tuple[str, str]], bool]:
    """The headers up to SES's 10 KB, and whether any had to go."""
    kept: list[tuple[str, str]] = []
    used = 0
    for name, value in headers:
        used += len(name) + len(value) + 4
        if used > MAX_HEADER_BYTES:
            return kept, True
        kept.append((name, value))
    return kept, False
