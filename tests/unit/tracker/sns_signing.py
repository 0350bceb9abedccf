"""Signs messages as SNS does, with a key made for the tests."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

TOPIC = "arn:aws:sns:eu-west-2:000000000000:doorstep-ses-events"
CERTIFICATE_NAME = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
CERTIFICATE_URL = f"https://sns.eu-west-2.amazonaws.com/{CERTIFICATE_NAME}"
SUBSCRIBE_URL = (
    "https://sns.eu-west-2.amazonaws.com/?Action=ConfirmSubscription"
    f"&TopicArn={TOPIC}&Token=2336412f37"
)

_ORDER = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "other": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
}


@dataclass(frozen=True)
class Signer:
    """A key and its self-signed certificate."""

    key: rsa.RSAPrivateKey
    pem: bytes

    def body(self, message: str, at: datetime, **changes: Any) -> bytes:
        """A signed Notification; `changes` are made before it is signed, None leaves out."""
        fields: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": "11111111-2222-5333-8444-555555555555",
            "TopicArn": TOPIC,
            "Message": message,
            "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE_URL,
            **changes,
        }
        present = {name: value for name, value in fields.items() if value is not None}
        return json.dumps({**present, "Signature": self.signature(present)}).encode()

    def confirmation(self, kind: str, at: datetime, **changes: Any) -> bytes:
        """A signed SubscriptionConfirmation or UnsubscribeConfirmation."""
        own = {"Type": kind, "Token": "2336412f37", "SubscribeURL": SUBSCRIBE_URL}
        return self.body("You have chosen ...\nTo confirm ...", at, **{**own, **changes})

    def signature(self, fields: dict[str, str]) -> str:
        order = _ORDER.get(fields["Type"], _ORDER["other"])
        lines = [part for name in order if name in fields for part in (name, fields[name])]
        text = ("\n".join(lines) + "\n").encode()
        algorithm = hashes.SHA1() if fields["SignatureVersion"] == "1" else hashes.SHA256()
        return base64.b64encode(self.key.sign(text, padding.PKCS1v15(), algorithm)).decode()


@cache
def signer(which: str = "ours", *, valid_from: datetime | None = None, days: int = 60) -> Signer:
    """The same key and certificate for the same name."""
    del which  # told apart by the cache alone
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    begins = valid_from or datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return Signer(key, certificate.public_bytes(serialization.Encoding.PEM))
