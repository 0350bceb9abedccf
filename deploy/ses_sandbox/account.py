"""The sending account: its rate, its daily quota, its standing, and what GetAccount says of it.

Time is always handed in. A refused request costs nothing; an accepted one costs its recipients.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable

from deploy.ses_sandbox import refusals
from deploy.ses_sandbox.addresses import domain_of
from deploy.ses_sandbox.settings import Switches

DAY_SECONDS = 24 * 3600


class SendRate:
    """A token bucket one second deep. A call of many recipients may leave it in debt, as SES's."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._at: float | None = None

    def take(self, recipients: int, now: float, per_second: float) -> bool:
        """Whether the call may go; if so its recipients are paid for."""
        depth = max(per_second, 1.0)
        if self._at is None:
            self._tokens = depth
        else:
            self._tokens = min(depth, self._tokens + max(0.0, now - self._at) * per_second)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= recipients
        return True


class SentInDay:
    """Recipients accepted in the last 24 hours, to the minute."""

    def __init__(self, minutes: Iterable[tuple[int, int]] = ()) -> None:
        """`minutes`: (epoch minute, recipients), oldest first."""
        self._minutes: deque[tuple[int, int]] = deque(minutes)
        self._total = sum(count for _, count in self._minutes)

    def add(self, recipients: int, now: float) -> None:
        """Count an acceptance."""
        minute = int(now) // 60
        if self._minutes and self._minutes[-1][0] == minute:
            recipients_so_far = self._minutes.pop()[1]
        else:
            recipients_so_far = 0
        self._minutes.append((minute, recipients_so_far + recipients))
        self._total += recipients

    def total(self, now: float) -> int:
        """Recipients that still count at `now`."""
        while self._minutes and self._minutes[0][0] * 60 <= now - DAY_SECONDS:
            self._total -= self._minutes.popleft()[1]
        return self._total


class Account:
    """Decides whether the account may send one more mail."""

    def __init__(self, sent: SentInDay) -> None:
        self._rate = SendRate()
        self._sent = sent

    def admit(self, sender: str, recipients: int, now: float, switches: Switches) -> None:
        """Charge a mail to the account. Raises the refusal with which SES would answer."""
        if switches.account_suspended:
            raise refusals.account_suspended()
        if switches.sending_paused:
            raise refusals.sending_paused()
        if not switches.mail_from_verified:
            raise refusals.mail_from_not_verified(domain_of(sender))
        if switches.content_rejected:
            raise refusals.message_rejected("Message content is rejected.")
        quota = switches.daily_quota
        if quota >= 0 and self._sent.total(now) + recipients > quota:
            raise refusals.quota_exceeded()
        if not self._rate.take(recipients, now, switches.max_send_rate):
            raise refusals.rate_exceeded()
        self._sent.add(recipients, now)

    def describe(self, now: float, switches: Switches) -> bytes:
        """The body of a GetAccount answer."""
        sending = not (switches.sending_paused or switches.account_suspended)
        return json.dumps(
            {
                "DedicatedIpAutoWarmupEnabled": False,
                "EnforcementStatus": switches.enforcement_status,
                "ProductionAccessEnabled": switches.production_access,
                "SendQuota": {
                    "Max24HourSend": float(switches.daily_quota),
                    "MaxSendRate": float(switches.max_send_rate),
                    "SentLast24Hours": float(self._sent.total(now)),
                },
                "SendingEnabled": sending,
                "SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
                "VdmAttributes": {"VdmEnabled": "DISABLED"},
            }
        ).encode()
