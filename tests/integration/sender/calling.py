"""One call at a time over either way to SES, as a test wants it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from services.sender.gateway import Answer, MailGateway, OutgoingMail
from services.sender.gateway_choice import open_gateway
from shared.settings import SenderSettings

Way = Literal["lean", "boto3"]
WAYS: tuple[Way, ...] = get_args(Way)
PATIENCE = 30


@contextmanager
def opened(
    way: Way, url: str, *, connect_timeout_seconds: float = 5, read_timeout_seconds: float = 1
) -> Iterator[MailGateway]:
    made = open_gateway(
        SenderSettings(
            ses_endpoint=url, gateway=way, window=2,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
        )
    )  # fmt: skip
    try:
        yield made
    finally:
        made.close()


def call(gateway: MailGateway, mail: OutgoingMail, still_fresh: Callable[[], bool]) -> Answer:
    """Begin a call and wait for its answer."""
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    gateway.begin(mail, still_fresh, answers.put)
    return answers.get(timeout=PATIENCE)
