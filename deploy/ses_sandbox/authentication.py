"""Whether a request's signature is still young enough to be obeyed.

The sandbox takes any credentials (it holds no secrets to check them with) but insists, like SES,
that a signature is there and that its date is near the clock. That age is what guarantees that a
request frozen on its way is not obeyed long after its sender has given it up.
"""

from __future__ import annotations

from collections.abc import Mapping

from deploy.ses_sandbox.refusals import missing_authentication, signature_expired
from deploy.ses_sandbox.timestamps import amz_date, read_amz_date


def check_signature_date(headers: Mapping[str, str], now: float, validity_seconds: float) -> None:
    """Raise a 403 refusal unless the request is signed and dated within `validity_seconds`."""
    signed_at = headers.get("x-amz-date")
    if signed_at is None or not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
        raise missing_authentication()
    try:
        age = now - read_amz_date(signed_at)
    except ValueError:
        raise signature_expired(
            f"Date must be in ISO-8601 'basic format'. Got '{signed_at}'."
        ) from None
    if age > validity_seconds:
        raise signature_expired(
            f"Signature expired: {signed_at} is now earlier than {amz_date(now - validity_seconds)}"
            f" ({amz_date(now)} - {validity_seconds:g} s.)"
        )
    if age < -validity_seconds:
        raise signature_expired(
            f"Signature not yet current: {signed_at} is still later than"
            f" {amz_date(now + validity_seconds)} ({amz_date(now)} + {validity_seconds:g} s.)"
        )
