"""What the sandbox's tests share: a stock SES client, a plain message, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_sesv2 import SESV2Client

SENDER = "Spring Campaign <news@mail.example.com>"
RECIPIENT = "ada@example.org"


@contextmanager
def ses_client(url: str, *, read_timeout: float = 5) -> Iterator[SESV2Client]:
    """A stock client that posts every call exactly once."""
    client = boto3.client(
        "sesv2",
        endpoint_url=url,
        region_name="eu-west-2",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="not-a-secret",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=read_timeout,
        ),
    )
    try:
        yield client
    finally:
        client.close()


def raw_message(
    *, to: str = RECIPIENT, extra: str = "", body: str = "Hello Ada.\r\n", subject: str = "Spring"
) -> bytes:
    """A small message with CRLF line ends; `extra` are whole header lines."""
    return (
        f"From: {SENDER}\r\nTo: {to}\r\nSubject: {subject}\r\n{extra}MIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=us-ascii\r\n\r\n{body}"
    ).encode()


def send(
    client: SESV2Client,
    *,
    message: bytes | None = None,
    to: str = RECIPIENT,
    configuration_set: str | None = None,
    **tags: str,
) -> str:
    """Send one raw mail; the message id of the answer."""
    request: dict[str, Any] = {
        "FromEmailAddress": SENDER,
        "Destination": {"ToAddresses": [to]},
        "Content": {"Raw": {"Data": message or raw_message(to=to)}},
        "EmailTags": [{"Name": name, "Value": value} for name, value in tags.items()],
    }
    if configuration_set is not None:
        request["ConfigurationSetName"] = configuration_set
    return client.send_email(**request)["MessageId"]


def refusal(call: Callable[[], object]) -> tuple[int, str, str]:
    """(status, error name, message) of the refusal that the call must meet."""
    try:
        call()
    except ClientError as error:
        response = error.response
        status = response["ResponseMetadata"]["HTTPStatusCode"]
        return status, response["Error"]["Code"], str(response["Error"].get("Message"))
    raise AssertionError("the call was accepted")


def date_signatures(client: SESV2Client, *, seconds_ago: float) -> None:
    """Make all later requests of the client as old as that."""

    def redate(request: AWSPreparedRequest, **_: object) -> None:
        then = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        request.headers["X-Amz-Date"] = then.strftime("%Y%m%dT%H%M%SZ")

    client.meta.events.register("before-send.sesv2", redate)


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 30) -> None:
    """Look again until the condition holds; fail by name when the deadline passes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.01)
