"""SES over connections of our own: what boto3 sends, at a fifth of its cost.

boto3 still says where SES is and as whom we ask (`aws_route`). One call is one POST here as well;
nobody below repeats one.
"""

from __future__ import annotations

import binascii
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

from services.sender.answers import WE_ASK_WRONGLY_SECONDS, fit_to_tell, read_response
from services.sender.aws_route import KeyRing, NoKeys, Route
from services.sender.connection import Response
from services.sender.gateway import Answer, MailGateway, OutgoingMail
from services.sender.posting import End, Lost, NotSent, Post, Posting
from services.sender.signature import signed_headers


class _NotFreshError(Exception):
    """The last look became too old before the request was written."""


class LeanGateway:
    """See `services.sender.gateway.MailGateway`. `plain`: boto3, closed with it."""

    def __init__(
        self,
        plain: MailGateway,
        route: Route,
        keys: KeyRing,
        *,
        connections: int,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
    ) -> None:
        self._plain, self._route, self._keys = plain, route, keys
        self._posting = Posting(
            route.host, route.port, route.tls, connections=connections,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
        )  # fmt: skip

    def begin(
        self,
        mail: OutgoingMail,
        still_fresh: Callable[[], bool],
        answered: Callable[[Answer], None],
    ) -> None:
        body = request_body(mail)

        def make() -> bytes:
            head = self._signed_head(body)
            if not still_fresh():
                raise _NotFreshError
            return head + body

        self._posting.begin(Post(make, lambda end: answered(_answer(end, mail.to))))

    def close(self) -> None:
        self._posting.close()
        self._keys.close()
        self._plain.close()

    def _signed_head(self, body: bytes) -> bytes:
        route = self._route
        headers = signed_headers(
            self._keys.now(), route.scope, route.authority, route.path, body, datetime.now(UTC)
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return (
            f"POST {route.path} HTTP/1.1\r\n{lines}user-agent: doorstep\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode("latin-1")


def request_body(mail: OutgoingMail) -> bytes:
    """The JSON of a SendEmail. The mail goes in as it is: base64 needs no escapes."""
    rest = {
        "FromEmailAddress": mail.sender,
        "Destination": {"ToAddresses": [mail.to]},
        "ConfigurationSetName": mail.configuration_set,
        "EmailTags": [{"Name": name, "Value": value} for name, value in mail.tags.items()],
    }
    encoded = binascii.b2a_base64(mail.raw, newline=False)
    start = json.dumps(rest)[:-1].encode()
    return b"".join((start, b', "Content": {"Raw": {"Data": "', encoded, b'"}}}'))


def _answer(end: End, recipient: str) -> Answer:
    """What it means that a POST ended in this way."""
    match end:
        case Response():
            return fit_to_tell(read_response(end.status, end.headers, end.body), recipient)
        case Lost():
            return Answer("in_doubt", f"no answer: {type(end.error).__name__}")
        case NotSent():
            return _unsent(end.error)


def _unsent(error: Exception) -> Answer:
    match error:
        case _NotFreshError():
            return Answer("not_called", "the last look became too old")
        case NoKeys():
            return Answer("hold_all", str(error), after_seconds=WE_ASK_WRONGLY_SECONDS)
        case ssl.SSLCertVerificationError():
            said = f"SES's certificate is refused: {error.verify_message}"
            return Answer("hold_all", said, after_seconds=WE_ASK_WRONGLY_SECONDS)
        case OSError():
            return Answer("retry", f"SES cannot be reached: {type(error).__name__}")
        case _:
            return Answer("hold_send", f"not foreseen, nothing was sent: {type(error).__name__}")
