"""What the sending account allows now: the rate, what is left of the quota, what forbids all mail.

Pure. Sources: GetAccount in the SESv2 API reference; "Managing your Amazon SES sending limits" in
its developer guide. SES limits the account in its region, whoever else sends with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import inf
from typing import Final, Literal

Stop = Literal["disabled", "shut_down", "quota"]

MEANING: Final[dict[Stop, str]] = {
    "disabled": "sending is switched off for the SES account: Amazon paused it, or somebody did",
    "shut_down": "Amazon has shut down sending of the SES account: answer their case",
    "quota": "the daily quota of the SES account is used up: it goes on as the last 24 h let go",
}

SHARE: Final = 0.9
"""Of SES's rate: who sends at exactly the limit is throttled now and then."""
SLOWEST: Final = 1.0
"""Messages a second, as long as nobody knows: no account may do less."""
SOONEST_SECONDS: Final = 1.0
"""SES takes one request a second of this kind."""


@dataclass(frozen=True, slots=True)
class Account:
    """What GetAccount said. `daily_quota` below nought: unlimited. `rate`: messages a second.

    `enforcement` is SES's own word: HEALTHY, PROBATION or SHUTDOWN.
    """

    sending_enabled: bool
    production_access: bool
    enforcement: str
    daily_quota: float
    sent_last_day: float
    rate: float

    def as_json(self) -> str:
        """As the ledger keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Account:
        """The inverse of `as_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Limits:
    """What people set. `rate` None: as SES allows. `reserve`: of the daily quota, left to others.

    `ask_seconds`: how often SES is asked.
    """

    rate: float | None
    reserve: int
    ask_seconds: float


def ceiling(account: Account | None, limits: Limits) -> float:
    """Messages a second that all senders together may send."""
    allowed = SLOWEST if account is None else max(account.rate * SHARE, SLOWEST * SHARE)
    if limits.rate is None:
        return allowed
    return limits.rate if account is None else min(limits.rate, allowed)


def quota_left(account: Account, limits: Limits) -> float:
    """Messages that may still go today; infinite without a quota, never below nought."""
    if account.daily_quota < 0:
        return inf
    return max(0.0, account.daily_quota - limits.reserve - account.sent_last_day)


def stop(account: Account | None, limits: Limits) -> Stop | None:
    """Why no mail can go at all; None when it can, or when nobody knows."""
    if account is None:
        return None
    if account.enforcement == "SHUTDOWN":
        return "shut_down"
    if not account.sending_enabled:
        return "disabled"
    return "quota" if quota_left(account, limits) < 1 else None


def remarks(account: Account) -> list[str]:
    """What somebody should know of the account though mail goes."""
    found = []
    if account.enforcement == "PROBATION":
        found.append("the SES account is under review: Amazon may pause it, look at bounces")
    if not account.production_access:
        found.append("the SES account is in Amazon's sandbox: only verified addresses get mail")
    return found


def ask_again_seconds(account: Account | None, limits: Limits) -> float:
    """When to ask next: as set, but sooner as the end of the quota comes near.

    At full rate not more than half of what is left goes meanwhile, so that the end is known before
    SES has to refuse.
    """
    if account is None or stop(account, limits) is not None:
        return limits.ask_seconds
    half = quota_left(account, limits) / ceiling(account, limits) / 2
    return max(SOONEST_SECONDS, min(limits.ask_seconds, half))
