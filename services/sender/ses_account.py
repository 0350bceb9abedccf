"""Questions to SES about the account, over boto3: not for the calls that send.

SES takes one request a second of these. None is repeated in here: who asks asks again later.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.sender.account import Account
from services.sender.suppression_list import Listed, Page, WrongToken
from shared.errors import Misconfigured, RetryLater

if TYPE_CHECKING:
    from mypy_boto3_sesv2.client import SESV2Client

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0


PAGE_SIZE = 500
WRONG_TOKEN = frozenset({"InvalidNextTokenException", "BadRequestException"})


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

    def suppressed(self, since: datetime | None, token: str | None) -> Page:
        """A page of the account's suppression list. Raises NoAnswer, WrongToken."""
        asked: dict[str, Any] = {"PageSize": PAGE_SIZE}
        asked |= {} if since is None else {"StartDate": since}
        asked |= {} if token is None else {"NextToken": token}
        try:
            said = self._client.list_suppressed_destinations(**asked)
            listed = [
                Listed(one["EmailAddress"], one["Reason"], one["LastUpdateTime"])
                for one in said.get("SuppressedDestinationSummaries", [])
            ]
        except ClientError as error:
            detail = error.response.get("Error", {})
            if token is not None and detail.get("Code") in WRONG_TOKEN:
                raise WrongToken from error
            raise NoAnswer(
                f"SES refuses ListSuppressedDestinations: {detail.get('Code')} (the sender's "
                "credentials need ses:ListSuppressedDestinations; "
                "DOORSTEP_SENDER__SUPPRESSION_LIST_SECONDS=0 does without)"
            ) from error
        except (BotoCoreError, KeyError, TypeError, ValueError) as error:
            name = type(error).__name__
            raise NoAnswer(f"SES does not answer ListSuppressedDestinations: {name}") from error
        return Page(listed, said.get("NextToken"))

    def close(self) -> None:
        self._client.close()
