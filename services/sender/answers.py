"""What an answer of SES means: a pure table over status, error code and message text.

Sources: the SESv2 model of botocore for names and status codes; the Amazon SES API reference,
"Common errors"; the Amazon SES developer guide, "Managing sending quotas".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from services.sender.gateway import Answer

DAILY: Final = "daily message quota exceeded"
HOLD_SECONDS: Final = 60.0
WE_ASK_WRONGLY_SECONDS: Final = 10.0

_THROTTLED: Final = frozenset({"TooManyRequests", "Throttling", "Throttled"})
_ACCOUNT: Final = frozenset({"LimitExceeded", "SendingPaused", "AccountSuspended"})
_SEND: Final = frozenset({"MailFromDomainNotVerified", "NotFound"})
_MESSAGE: Final = frozenset(
    {
        "MessageRejected",
        "BadRequest",
        "InvalidParameterValue",
        "ValidationError",
        "RequestEntityTooLarge",
    }
)
_AGAIN: Final = frozenset({"RequestTimeout"})
_NO_REPLY: Final = frozenset({"RequestAborted"})
"""Broken off before a reply was sent: what was done until then, SES does not say."""
LONGEST_REASON: Final = 300
"""In characters; what stands between us and SES may answer with a whole page."""
_OUR_REQUESTS: Final = frozenset(
    {
        "AccessDenied",
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignature",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClient",
    }
)
"""Credentials, signature, clock: every message would meet the same."""


def read_refusal(status: int, code: str, message: str) -> Answer:
    """The answer behind an error response of SES.

    Only what SES says about this very message ends it. A refusal nobody has foreseen holds the
    send, for a person to look at, rather than fail a whole audience one by one.
    """
    name = code.removesuffix("Exception")
    said = f"{name}: {message}".strip()
    if not 400 <= status < 500 or name in _NO_REPLY:
        answer = Answer("in_doubt", f"SES answered {status}: {said}")
    elif DAILY in message.lower() or name in _ACCOUNT:
        answer = Answer("hold_all", said, after_seconds=HOLD_SECONDS)
    elif status == 429 or name in _THROTTLED:
        answer = Answer("throttled", said)
    elif status in {401, 403} or name in _OUR_REQUESTS:
        said = f"SES refuses our requests: {said}"
        answer = Answer("hold_all", said, after_seconds=WE_ASK_WRONGLY_SECONDS)
    elif status == 408 or name in _AGAIN:
        answer = Answer("retry", said)
    elif name in _SEND or "not verified" in message.lower():
        answer = Answer("hold_send", said)
    elif status == 413 or name in _MESSAGE:
        answer = Answer("failed", said)
    else:
        answer = Answer("hold_send", f"not foreseen: {status} {said}")
    return answer


def read_acceptance(message_id: object) -> Answer:
    """The answer behind a response that is no error. Without SES's id it may be another's page."""
    if isinstance(message_id, str) and message_id:
        return Answer("accepted", ses_message_id=message_id)
    return Answer("in_doubt", "the answer has no MessageId, so it may not be SES's")


def read_response(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer in a response of SES (REST JSON). Names of headers are in small letters.

    Where the name of an error stands is told by botocore's parser of such responses, which a test
    holds this one to: header, then body, then the bare status.
    """
    said = _members(body)
    if 200 <= status < 300:
        return read_acceptance(said.get("MessageId"))
    code = headers.get("x-amzn-errortype") or said.get("code") or said.get("Code")
    code = str(code or said.get("__type") or status).split(":", 1)[0].rsplit("#", 1)[-1]
    return read_refusal(status, code, str(said.get("message") or said.get("Message") or ""))


def fit_to_tell(answer: Answer, address: str) -> Answer:
    """What SES said goes into the ledger and to analysts, who are not to know the recipient: one
    line without the address, of at most `LONGEST_REASON` characters.
    """
    if not answer.reason:
        return answer
    said = re.sub(re.escape(address), "(the recipient)", answer.reason, flags=re.IGNORECASE)
    return replace(answer, reason=_in_short(said))


def _in_short(said: str) -> str:
    """One line of bounded length, for the ledger, the log and people."""
    line = " ".join(said.split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def _members(body: bytes) -> dict[str, Any]:
    """Those of the JSON object; what is no JSON is a message."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {"message": text}
    return found if isinstance(found, dict) else {"message": text}
