"""The four ways in which SES, SNS, mail and SigV4 write an instant. Pure; reads no clock."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache


def iso_millis(epoch_ms: int) -> str:
    """`2026-05-04T09:00:00.123Z`, as in SES events and SNS envelopes."""
    seconds, millis = divmod(epoch_ms, 1000)
    return f"{_iso_second(seconds)}.{millis:03d}Z"


def mail_date(epoch_ms: int) -> str:
    """RFC 5322 date with a numeric zone, for the `Date` header of a mail."""
    return _mail_second(epoch_ms // 1000)


@lru_cache(maxsize=4)
def http_date(epoch_seconds: int) -> str:
    """RFC 9110 date (`GMT`), for the `Date` header of an answer."""
    return format_datetime(datetime.fromtimestamp(epoch_seconds, UTC), usegmt=True)


@lru_cache(maxsize=64)
def read_amz_date(text: str) -> int:
    """Epoch seconds of `20260504T090000Z`.

    Raises ValueError when the text has another shape.
    """
    return int(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())


def amz_date(epoch_seconds: float) -> str:
    """`20260504T090000Z`, as SigV4 writes it."""
    return datetime.fromtimestamp(int(epoch_seconds), UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=4)
def _mail_second(epoch_seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(epoch_seconds, UTC))


@lru_cache(maxsize=64)
def _iso_second(epoch_seconds: int) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
