"""Settling what is in doubt: pure decisions.

A message in doubt waits for a SES event that carries its tag. When the settle window is over and
the event channel has proven alive well after the doubt, the send's policy decides: leave it, or
resend it once. Resending on a silent channel could mail twice, so it is never done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SILENT_WINDOWS = 3
PROOF_SHARE, LONGEST_PROOF_MS = 0.1, 60_000
"""A channel is proven by an event dated this share of the window after the doubt, a minute at
most: SES tells of an acceptance within seconds, so such an event had ours before it, were there
one. It also covers what SES's clock and ours may differ by."""

Decision = Literal["wait", "leave", "resend"]


@dataclass(frozen=True, slots=True)
class InDoubt:
    """A message in doubt. `attempt` counts calls made so far."""

    message_id: str
    send_id: str
    partition: int
    resend: bool
    attempt: int
    attempted_ms: int
    settle_after_ms: int
    deadline_ms: int | None


def settle(  # noqa: PLR0911 - a table of cases reads best as one
    doubt: InDoubt,
    *,
    now_ms: int,
    window_ms: int,
    margin_ms: int,
    channel_ms: int,
    events_read_ms: int,
    steady: bool,
    order: Literal["leave", "resend"] | None = None,
) -> tuple[Decision, str]:
    """What to do now, and the reason to record.

    `channel_ms`: time of the newest SES event read; `events_read_ms`: a time up to which all
    events on the log have been read; `steady`: whether events come as they happen (channel.py).
    `order`: what an operator asked for, over the policy.
    """
    if order == "leave":
        return "leave", "left by an operator"
    if now_ms < doubt.settle_after_ms:
        return "wait", "the settle window is open"
    if events_read_ms < doubt.settle_after_ms:
        return "wait", "events are still being read"
    given_up_ms = doubt.settle_after_ms - window_ms
    alive = channel_ms >= given_up_ms + min(window_ms * PROOF_SHARE, LONGEST_PROOF_MS)
    wants_resend = order == "resend" or doubt.resend
    if not wants_resend:
        heard = channel_ms >= given_up_ms
        said = "SES reported nothing" if heard else "SES reported nothing, and nothing else since"
        return "leave", f"{said} within the settle window"
    if doubt.attempt > 1:
        return "leave", "in doubt again after it was resent once"
    if not (alive and steady):
        if now_ms < doubt.settle_after_ms + SILENT_WINDOWS * window_ms:
            return "wait", "the event channel has not proven alive"
        return "leave", "not resent: the event channel stayed silent; an operator may decide"
    if doubt.deadline_ms is not None and now_ms >= doubt.deadline_ms - margin_ms:
        return "leave", "not resent: its deadline has passed"
    return "resend", "SES reported nothing within the settle window; resent once"
