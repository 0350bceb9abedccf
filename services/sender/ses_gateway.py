"""SES through boto3: the only module that imports it.

`total_max_attempts=1`: by default boto3 posts one send_email up to five times on a timeout, and
SES has no idempotency token. What may be repeated is decided by the ledger, never in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)

from services.sender.answers import read_refusal
from services.sender.gateway import Account, Answer, OutgoingMail
from shared.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_sesv2.client import SESV2Client

NEVER_LEFT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError)


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
        )
        try:
            self._client: SESV2Client = boto3.client(
                "sesv2", config=config, endpoint_url=endpoint or None
            )
        except (BotoCoreError, ValueError) as error:
            raise Misconfigured(f"SES: cannot make a client: {error}") from error

    def send(self, mail: OutgoingMail) -> Answer:
        """One call, one POST. What never left the house is `retry`; what may have is `in_doubt`."""
        try:
            response = self._client.send_email(
                FromEmailAddress=mail.sender,
                Destination={"ToAddresses": [mail.to]},
                Content={"Raw": {"Data": mail.raw}},
                ConfigurationSetName=mail.configuration_set,
                EmailTags=[{"Name": name, "Value": value} for name, value in mail.tags.items()],
            )
        except ClientError as error:
            detail = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return read_refusal(status, detail.get("Code", ""), detail.get("Message", ""))
        except NEVER_LEFT as error:
            return Answer("retry", f"SES cannot be reached: {type(error).__name__}")
        except (NoCredentialsError, PartialCredentialsError) as error:
            return Answer("hold_all", f"no AWS credentials: {error}", after_seconds=10.0)
        except ParamValidationError as error:
            return Answer("failed", f"not a request SES knows: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it was, the request may have left
            return Answer("in_doubt", f"no answer: {type(error).__name__}")
        return Answer("accepted", ses_message_id=response["MessageId"])

    def account(self) -> Account | None:
        try:
            said = self._client.get_account()
        except (ClientError, BotoCoreError):
            return None
        quota = said.get("SendQuota", {})
        return Account(
            sending_enabled=bool(said.get("SendingEnabled", False)),
            daily_quota=float(quota.get("Max24HourSend", -1)),
            sent_last_day=float(quota.get("SentLast24Hours", 0)),
            rate=float(quota.get("MaxSendRate", 1)),
        )

    def close(self) -> None:
        self._client.close()
