"""Is this message from SNS, and from our topic? Pure: claims, canonical string, signature.

Sources: AWS, "Verifying the signatures of Amazon SNS messages" and "Amazon SNS message and JSON
formats". A valid signature proves some AWS topic; the allow-list makes it ours. The certificate's
address is matched in full, since anything that merely ends like one may be anybody's.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shared.errors import NeverRetry

MessageType = Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]

AHEAD: Final = timedelta(minutes=5)

_SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
    "UnsubscribeConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_OPTIONAL: Final = frozenset({"Subject"})
_HOST: Final = r"https://sns\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE: Final = re.compile(_HOST + r"/(SimpleNotificationService-[A-Za-z0-9]+\.pem)")
_SUBSCRIBE: Final = re.compile(_HOST + r"/\?Action=ConfirmSubscription&[!-~]+")
_LARGEST_SIGNATURE: Final = 1_024


class NotSns(NeverRetry):
    """Not a message in the form of SNS."""


class Untrusted(NeverRetry):
    """A message that is not from our topic, or cannot be shown to be; nothing of it is used."""


@dataclass(frozen=True, slots=True)
class SnsMessage:
    """A message in the form of SNS; nothing in it is to be believed before `check_signature`."""

    type: MessageType
    message_id: str
    topic_arn: str
    message: str
    timestamp: datetime
    signature_version: str
    signature: bytes
    certificate_url: str
    subscribe_url: str
    canonical: bytes

    @property
    def certificate_name(self) -> str:
        """The last part of the certificate's address; "" when the address is not SNS's."""
        found = _CERTIFICATE.fullmatch(self.certificate_url)
        return found[2] if found else ""


def read_message(body: bytes) -> SnsMessage:
    """The message in a request body. Raises NotSns."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise NotSns("the body is not JSON") from None
    if not isinstance(found, dict):
        raise NotSns("the body is not a JSON object")
    fields = {name: value for name, value in found.items() if isinstance(value, str)}
    kind = fields.get("Type", "")
    if kind not in _SIGNED:
        raise NotSns("the body has no Type of SNS (raw message delivery has none: switch it off)")
    for name in _SIGNED[kind]:
        if name not in fields and name not in _OPTIONAL:
            raise NotSns(f"the message has no {name}")
    return SnsMessage(
        type=cast(MessageType, kind),
        message_id=fields["MessageId"],
        topic_arn=fields["TopicArn"],
        message=fields["Message"],
        timestamp=_time(fields["Timestamp"]),
        signature_version=fields.get("SignatureVersion", ""),
        signature=_signature(fields.get("Signature", "")),
        certificate_url=fields.get("SigningCertURL", ""),
        subscribe_url=fields.get("SubscribeURL", ""),
        canonical=canonical(fields),
    )


def canonical(fields: Mapping[str, str]) -> bytes:
    """What SNS signs: each signed key that is present and its value, each on a line of its own."""
    return "".join(
        f"{name}\n{fields[name]}\n" for name in _SIGNED[fields["Type"]] if name in fields
    ).encode("utf-8", "surrogatepass")


def check_claims(
    message: SnsMessage, topic_arns: Collection[str], now: datetime, oldest: timedelta
) -> None:
    """What can be refused without a certificate, so that a stranger cannot make us fetch one.

    Raises Untrusted.
    """
    if message.topic_arn not in topic_arns:
        raise Untrusted("the topic is not one of DOORSTEP_TRACKER__TOPIC_ARNS")
    found = _CERTIFICATE.fullmatch(message.certificate_url)
    if found is None or found[1] != message.topic_arn.split(":")[3]:
        raise Untrusted("the certificate's address is not one of SNS in the topic's region")
    if message.signature_version not in ("1", "2"):
        raise Untrusted("the signature is of an unknown version")
    if not now - oldest <= message.timestamp <= now + AHEAD:
        raise Untrusted("the message is too old, or from the future")
    if message.type != "Notification" and not _SUBSCRIBE.fullmatch(message.subscribe_url):
        raise Untrusted("the address to confirm at is not one of SNS")


def check_signature(message: SnsMessage, certificate_pem: bytes, now: datetime) -> None:
    """Raises Untrusted unless the certificate's key signed the message."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Untrusted("the certificate cannot be read") from error
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Untrusted("the certificate is not valid now")
    if not isinstance(key, rsa.RSAPublicKey):
        raise Untrusted("the certificate holds no RSA key")
    # Version 1 means SHA-1, by definition of SNS; set SignatureVersion=2 on the topic.
    algorithm = hashes.SHA1() if message.signature_version == "1" else hashes.SHA256()  # noqa: S303
    try:
        key.verify(message.signature, message.canonical, padding.PKCS1v15(), algorithm)
    except InvalidSignature as error:
        raise Untrusted("the signature does not fit the message") from error


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise NotSns("the message's Timestamp is not a time") from None


def _signature(text: str) -> bytes:
    if len(text) > 2 * _LARGEST_SIGNATURE:
        raise NotSns("the message's Signature is too long to be one")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotSns("the message's Signature is not base64") from None
