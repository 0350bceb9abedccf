"""The port to SES: one mail in, one verdict out. A verdict is about what SES certainly did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

Verdict = Literal[
    "accepted",  # SES took it; never send again
    "failed",  # SES refused this message for good; nothing was sent
    "retry",  # SES certainly did not take it; the same call may succeed later
    "throttled",  # as retry, and the rate is too high
    "hold_send",  # as retry, and every message of this send would fail the same way
    "hold_all",  # as retry, and no message can go now (quota, paused account, credentials)
    "in_doubt",  # SES may or may not have taken it; never retried by itself
    "not_called",  # we did not call: the last look had become too old
]


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """One mail to one address. `tags` come back with every SES event."""

    sender: str
    to: str
    raw: bytes
    configuration_set: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What SES said. `after_seconds`: how long to hold or wait, where the verdict asks for it."""

    verdict: Verdict
    reason: str = ""
    ses_message_id: str | None = None
    after_seconds: float = 0.0


class MailGateway(Protocol):
    """Hands mail to SES. Never raises for what SES or the network does."""

    def begin(
        self,
        mail: OutgoingMail,
        still_fresh: Callable[[], bool],
        answered: Callable[[Answer], None],
    ) -> None:
        """Begin one call and return; `answered` is called once, from a thread of the gateway.

        `still_fresh` is asked when the request is signed, directly before it is written; when it
        says no, nothing is written and the verdict is `not_called`. `answered` must not wait.
        """
        ...

    def close(self) -> None: ...
