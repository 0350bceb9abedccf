"""Signatures of webhooks by the Standard Webhooks specification, both ways. Pure.

Signed is `<id>.<timestamp>.<body>` with HMAC-SHA256; a signature is `v1,` and base64, and several
may stand side by side while a secret is changed. A secret is `whsec_` and base64 of 24 to 64 bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from shared.errors import Misconfigured

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
PREFIX: Final = "whsec_"
TOLERANCE_SECONDS: Final = 300
"""How old, or how far ahead, a message may be: an older one may be a replay."""


class BadSignature(ValueError):
    """Forged, too old, or not signed at all; the text says which."""


def read_secret(name: str, text: str) -> bytes:
    """The key behind a secret's text. Raises Misconfigured, naming the setting."""
    how = f"{name}: write it as {PREFIX} and base64 of 24 to 64 random bytes"
    if not text.startswith(PREFIX):
        raise Misconfigured(how)
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError as error:
        raise Misconfigured(how) from error
    if not 24 <= len(key) <= 64:
        raise Misconfigured(how)
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header. `timestamp` in seconds since the epoch."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def verify(
    keys: Iterable[bytes],
    message_id: str,
    timestamp: str,
    signatures: str,
    body: bytes,
    now: datetime,
) -> None:
    """Raises BadSignature unless one of the keys has signed this, lately."""
    if not message_id or not timestamp:
        raise BadSignature(f"signed, but without {ID} or {TIMESTAMP}")
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise BadSignature(f"{TIMESTAMP} is not a number of seconds")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise BadSignature(f"{TIMESTAMP} is more than {TOLERANCE_SECONDS} s from our clock")
    given = [each.encode("utf-8", "surrogateescape") for each in signatures.split()]
    known = [signature(key, message_id, int(timestamp), body).encode() for key in keys]
    # Each with each, so that nothing is learnt from the time it takes.
    fitting = [hmac.compare_digest(one, other) for one in given for other in known]
    if not any(fitting):
        raise BadSignature("the signature does not fit")
