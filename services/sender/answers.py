"""What an answer of SES means: a pure table over status, error code and message text.

Sources: the SESv2 model of botocore for names and status codes; the Amazon SES developer guide,
"Managing sending quotas" for what is dropped and what is queued.
"""

from __future__ import annotations

from services.sender.gateway import Answer

DAILY = "daily message quota exceeded"
HOLD_SECONDS = 60.0


def read_refusal(status: int, code: str, message: str) -> Answer:
    """The answer behind an error response of SES."""
    name = code.removesuffix("Exception")
    said = f"{name}: {message}".strip()
    if status >= 500:
        return Answer("in_doubt", f"SES answered {status}: {said}")
    if DAILY in message.lower() or name == "LimitExceeded":
        return Answer("hold_all", said, after_seconds=HOLD_SECONDS)
    if status == 429 or name in {"TooManyRequests", "Throttling", "Throttled"}:
        return Answer("throttled", said)
    if name in {"SendingPaused", "AccountSuspended"}:
        return Answer("hold_all", said, after_seconds=HOLD_SECONDS)
    if name in {"MailFromDomainNotVerified", "NotFound"} or "not verified" in message.lower():
        return Answer("hold_send", said)
    if status == 403:
        return Answer("hold_all", f"SES refuses our requests: {said}", after_seconds=10.0)
    if name in {"MessageRejected", "BadRequest", "InvalidParameterValue", "ValidationError"}:
        return Answer("failed", said)
    if 400 <= status < 500:
        return Answer("failed", said)
    return Answer("in_doubt", f"SES answered {status}: {said}")
