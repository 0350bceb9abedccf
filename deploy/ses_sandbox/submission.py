"""A `SendEmail` request judged on its own merits: the mail it asks for, or SES's refusal. Pure.

What depends on the account (rate, quota, pause) or on time (signature) is judged elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from deploy.ses_sandbox.addresses import bare_address, domain_of, split_addresses
from deploy.ses_sandbox.message_headers import RawMessage, read_raw_message
from deploy.ses_sandbox.refusals import bad_request, message_rejected, not_found
from deploy.ses_sandbox.send_email_input import (
    SendEmailInput,
    require_offered,
)
from deploy.ses_sandbox.simple_message import build_simple_message

MAX_RECIPIENTS: Final = 50
MAX_TAGS: Final = 50

_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_CONFIGURATION_SET: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Submission:
    """A mail that SES could take. `source` is From as written, `sender` the address inside."""

    source: str
    sender: str
    recipients: tuple[str, ...]
    tags: Tags
    configuration_set: str | None
    message: RawMessage


def judge_submission(given: SendEmailInput) -> Submission:
    """Raises the refusal with which SES would answer."""
    require_offered(given)
    message = _message(given)
    source = given.FromEmailAddress or message.values("from")[0]
    sender = bare_address(source, "FromEmailAddress")
    for address in given.ReplyToAddresses:
        bare_address(address, "ReplyToAddresses")
    if given.FeedbackForwardingEmailAddress is not None:
        bare_address(given.FeedbackForwardingEmailAddress, "FeedbackForwardingEmailAddress")
    return Submission(
        source=source,
        sender=sender,
        recipients=_recipients(given, message),
        tags=_tags(given, message),
        configuration_set=_configuration_set(given, message),
        message=message,
    )


def readable_tags(given: SendEmailInput) -> Tags:
    """The tags as given, right or wrong: for the record of requests that are refused."""
    return tuple((tag.Name, tag.Value) for tag in given.EmailTags)


def require_known(
    submission: Submission,
    verified_identities: tuple[str, ...] | None,
    configuration_sets: tuple[str, ...] | None,
) -> None:
    """Raise a refusal for a sender or a configuration set that the account does not have."""
    wanted = submission.configuration_set
    if wanted is not None and configuration_sets is not None and wanted not in configuration_sets:
        raise not_found(f"Configuration set <{wanted}> does not exist.")
    if verified_identities is None:
        return
    verified = {identity.lower() for identity in verified_identities}
    if submission.sender.lower() not in verified and domain_of(submission.sender) not in verified:
        raise message_rejected(
            "Email address is not verified. The sender's domain failed the check:"
            f" {domain_of(submission.sender)}"
        )


def _message(given: SendEmailInput) -> RawMessage:
    content = given.Content
    if (content.Raw is None) == (content.Simple is None):
        raise bad_request("Content needs exactly one of Raw and Simple.")
    if content.Raw is not None:
        return read_raw_message(content.Raw.Data)
    assert content.Simple is not None
    for address in (given.FromEmailAddress or "", *_destination(given)):
        bare_address(address, "FromEmailAddress, Destination")
    return read_raw_message(build_simple_message(given, content.Simple))


def _destination(given: SendEmailInput) -> list[str]:
    to = given.Destination
    return [*to.ToAddresses, *to.CcAddresses, *to.BccAddresses]


def _recipients(given: SendEmailInput, message: RawMessage) -> tuple[str, ...]:
    listed = _destination(given)
    if listed:
        found = [bare_address(address, "Destination") for address in listed]
    else:
        found = [
            bare_address(address, name.capitalize())
            for name in ("to", "cc", "bcc")
            for value in message.values(name)
            for _, address in split_addresses(value)
        ]
    if not found:
        raise bad_request("Missing required header 'To'.")
    if len(found) > MAX_RECIPIENTS:
        raise bad_request(f"Recipient count exceeds {MAX_RECIPIENTS}.")
    return tuple(dict.fromkeys(found))


def _tags(given: SendEmailInput, message: RawMessage) -> Tags:
    """Tags of the request; those of the header only when the request has none."""
    tags = readable_tags(given)
    if not tags:
        pairs = ",".join(message.values("x-ses-message-tags"))
        tags = tuple(
            (name.strip(), value.strip())
            for name, _, value in (pair.partition("=") for pair in pairs.split(",") if pair.strip())
        )
    if len(tags) > MAX_TAGS:
        raise bad_request(f"More than {MAX_TAGS} email tags.")
    for name, value in tags:
        for text, what in ((name, "name"), (value, "value")):
            if not _TAG.fullmatch(text):
                raise bad_request(
                    f"Invalid tag {what}: it must hold 1 to 256 ASCII letters, digits, '_', '-'."
                )
    if len({name for name, _ in tags}) != len(tags):
        raise bad_request("Duplicate tag name.")
    return tags


def _configuration_set(given: SendEmailInput, message: RawMessage) -> str | None:
    name = given.ConfigurationSetName
    if name is None:
        name = next(iter(message.values("x-ses-configuration-set")), None)
    if name is not None and not _CONFIGURATION_SET.fullmatch(name):
        raise bad_request("Invalid configuration set name.")
    return name
