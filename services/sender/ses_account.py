"""Questions to SES about the account, over boto3: not for the calls that send.

SES takes one request a second of these. None is repeated in here: who asks asks again later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.sender.account import Account
from shared.errors import Misconfigured, RetryLater

if TYPE_CHECKING:
    from mypy_boto3_sesv2.client import SESV2Client

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0


class NoAnswer(RetryLater):
    """SES did not answer a question, or refused it."""


class SesAccount:
    """Used by one thread."""

    def __init__(self, *, region: str, endpoint: str) -> None:
        config = Config(
            region_name=region,
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            user_agent="doorstep",
        )
        try:
            self._client: SESV2Client = boto3.client(
                "sesv2", config=config, endpoint_url=endpoint or None
            )
        except (BotoCoreError, ValueError) as error:
            raise Misconfigured(f"SES: cannot make a client: {error}") from error

    def account(self) -> Account:
        """What GetAccount says. Raises NoAnswer."""
        try:
            said = self._client.get_account()
            quota = said["SendQuota"]
            return Account(
                sending_enabled=bool(said["SendingEnabled"]),
                production_access=bool(said["ProductionAccessEnabled"]),
                enforcement=str(said["EnforcementStatus"]),
                daily_quota=float(quota["Max24HourSend"]),
                sent_last_day=float(quota["SentLast24Hours"]),
                rate=float(quota["MaxSendRate"]),
            )
        except ClientError as error:
            detail = error.response.get("Error", {})
            raise NoAnswer(
                f"SES refuses GetAccount: {detail.get('Code')}: {detail.get('Message')} "
                "(the sender's credentials need ses:GetAccount)"
            ) from error
        except (BotoCoreError, KeyError, TypeError, ValueError) as error:
            raise NoAnswer(f"SES does not answer GetAccount: {type(error).__name__}") from error

    def close(self) -> None:
        self._client.close()
