"""SES's refusals by name: HTTP status, error name and message, as REST-JSON carries them.

Names and statuses are those of the `sesv2` service model; messages follow what SES says where
that is known. Nothing is decided here.
"""

from __future__ import annotations

import json

from deploy.ses_sandbox.http_messages import Answer


class Refusal(Exception):
    """A request that SES does not take: no mail comes of it."""

    def __init__(self, status: int, name: str, message: str | None) -> None:
        super().__init__(f"{name}: {message}")
        self.status = status
        self.name = name
        self.message = message

    def answer(self) -> Answer:
        """The refusal in REST-JSON: the name in `x-amzn-errortype`, the message in the body."""
        body = json.dumps({"message": self.message}).encode()
        return Answer(self.status, body, error_type=self.name)


def bad_request(message: str) -> Refusal:
    """The input itself is wrong: fail this recipient, go on with the next."""
    return Refusal(400, "BadRequestException", message)


def malformed_json(message: str) -> Refusal:
    """The request does not have the shape of the service model."""
    return Refusal(400, "SerializationException", message)


def message_rejected(message: str) -> Refusal:
    """The message cannot be sent as it is."""
    return Refusal(400, "MessageRejected", message)


def request_too_large() -> Refusal:
    """A body that no message within the limit could have."""
    return Refusal(413, "RequestEntityTooLargeException", "Request Entity Too Large")


def not_found(message: str) -> Refusal:
    """A configuration set or template that does not exist."""
    return Refusal(404, "NotFoundException", message)


def rate_exceeded() -> Refusal:
    """More recipients a second than the account may have."""
    return Refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded.")


def quota_exceeded() -> Refusal:
    """More recipients in 24 hours than the account may have."""
    return Refusal(400, "LimitExceededException", "Daily message quota exceeded.")


def sending_paused() -> Refusal:
    """Sending is paused for the whole account."""
    return Refusal(400, "SendingPausedException", "Sending is paused for this account.")


def account_suspended() -> Refusal:
    """The account may never send again."""
    return Refusal(400, "AccountSuspendedException", "This account is suspended from sending.")


def mail_from_not_verified(domain: str) -> Refusal:
    """The MAIL FROM domain's MX record is not set up."""
    return Refusal(
        400,
        "MailFromDomainNotVerifiedException",
        f"The MAIL FROM domain of {domain} is not verified.",
    )


def missing_authentication() -> Refusal:
    """No SigV4 signature in the headers."""
    return Refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")


def signature_expired(message: str) -> Refusal:
    """The signature's date is too far from SES's clock."""
    return Refusal(403, "InvalidSignatureException", message)


def internal_failure() -> Refusal:
    """SES's own 500."""
    return Refusal(500, "InternalFailure", None)


def service_unavailable() -> Refusal:
    """SES's own 503."""
    return Refusal(503, "ServiceUnavailable", "Service Unavailable")


def unknown_operation(method: str, path: str) -> Refusal:
    """A path that the sandbox does not serve."""
    return Refusal(
        404,
        "UnknownOperationException",
        f"The sandbox serves SendEmail, GetAccount and the suppression list, not {method} {path}.",
    )
