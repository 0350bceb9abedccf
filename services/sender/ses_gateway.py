"""SES through boto3.

`total_max_attempts=1`: by default boto3 posts one send_email up to five times on a timeout, and
SES has no idempotency token. What may be repeated is decided by the ledger, never in here.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)
from botocore.session import Session, get_session

from services.sender.answers import (
    WE_ASK_WRONGLY_SECONDS,
    fit_to_tell,
    read_acceptance,
    read_refusal,
)
from services.sender.gateway import Answer, OutgoingMail
from shared.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_sesv2.client import SESV2Client


class _NotFreshError(Exception):
    """The last look became too old before the request was written."""


class SesGateway:
    """See `services.sender.gateway.MailGateway`."""

    def __init__(
        self,
        *,
        region: str,
        endpoint: str,
        connections: int,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        attempts: int = 1,
    ) -> None:
        config = Config(
            region_name=region,
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            max_pool_connections=connections,
            tcp_keepalive=True,
            parameter_validation=False,
            # Without a name of ours, an eighth of a call's CPU goes into describing this machine.
            user_agent="doorstep",
        )
        self._calling = threading.local()
        self.session: Session = get_session()
        try:
            self.client: SESV2Client = boto3.Session(botocore_session=self.session).client(
                "sesv2", config=config, endpoint_url=endpoint or None
            )
        except (BotoCoreError, ValueError) as error:
            raise Misconfigured(f"SES: cannot make a client: {error}") from error
        # After signing: a process that is frozen later than this thaws with an old signature.
        self.client.meta.events.register("before-send.sesv2.SendEmail", self._look_once_more)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="ses")

    def begin(
        self,
        mail: OutgoingMail,
        still_fresh: Callable[[], bool],
        answered: Callable[[Answer], None],
    ) -> None:
        self._threads.submit(lambda: answered(self.send(mail, still_fresh)))

    def send(self, mail: OutgoingMail, still_fresh: Callable[[], bool]) -> Answer:
        """One call, one POST. What never left the house is `retry`; what may have is `in_doubt`."""
        self._calling.still_fresh = still_fresh
        try:
            response = self.client.send_email(
                FromEmailAddress=mail.sender,
                Destination={"ToAddresses": [mail.to]},
                Content={"Raw": {"Data": mail.raw}},
                ConfigurationSetName=mail.configuration_set,
                EmailTags=[{"Name": name, "Value": value} for name, value in mail.tags.items()],
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, the request may have left
            return fit_to_tell(_without_acceptance(error), mail.to)
        return read_acceptance(response.get("MessageId"))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    def _look_once_more(self, **_: object) -> None:
        if not self._calling.still_fresh():
            raise _NotFreshError


def _without_acceptance(error: Exception) -> Answer:
    """What it means that the call ended in this way."""
    match error:
        case ClientError():
            detail = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            answer = read_refusal(status, detail.get("Code", ""), detail.get("Message", ""))
        case _NotFreshError():
            answer = Answer("not_called", "the last look became too old")
        case EndpointConnectionError() | ConnectTimeoutError() | ProxyConnectionError():
            answer = Answer("retry", f"SES cannot be reached: {type(error).__name__}")
        case SSLError():
            answer = _after_tls_trouble(error)
        case NoCredentialsError() | PartialCredentialsError() | CredentialRetrievalError():
            said = f"no AWS credentials: {error}"
            answer = Answer("hold_all", said, after_seconds=WE_ASK_WRONGLY_SECONDS)
        case ParamValidationError():
            answer = Answer("failed", f"not a request SES knows: {error}")
        case _:
            answer = Answer("in_doubt", f"no answer: {type(error).__name__}")
    return answer


def _after_tls_trouble(error: BaseException) -> Answer:
    """A refused certificate: nothing left. Anything else may break after SES has read it all."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            said = f"SES's certificate is refused: {cause.verify_message}"
            return Answer("hold_all", said, after_seconds=WE_ASK_WRONGLY_SECONDS)
        cause = cause.__cause__ or cause.__context__
    return Answer("in_doubt", "no answer: TLS broke")
