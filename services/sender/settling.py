"""Settling what is in doubt: pure decisions.

A message in doubt waits for a SES event that carries its tag. When the settle window is over, the
send's policy decides: leave it, or resend it once. SNS posts an event a few times within a minute
and then drops it, so silence means little by itself. It means that SES did not take the message
when something was told while its event would have been posted, and by now of every mail that SES
accepted within a minute of it. Without that proof nothing is resent but by an operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SILENT_WINDOWS: Final = 3
NEAR_MS: Final = 60_000
POSTING_MS: Final = 55_000
"""For so long after a call an event of it is posted again and again, and a little longer."""
SHARE: Final = 1 / 3
"""Near is at most this share of the settle window, posting twice as much: less than the above only
in rehearsals, whose windows are short."""

Decision = Literal["wait", "leave", "resend"]


@dataclass(frozen=True, slots=True)
class InDoubt:
    """A message in doubt. `attempt` counts calls made so far; `attempted_ms`: the last of them,
    None where a lost ledger knew it.
    """

    message_id: str
    send_id: str
    partition: int
    resend: bool
    attempt: int
    attempted_ms: int | None
    settle_after_ms: int
    deadline_ms: int | None


@dataclass(frozen=True, slots=True)
class Times:
    """What counts as near, and for how long an event is posted, in milliseconds."""

    near: int
    posting: int

    @classmethod
    def of(cls, window_ms: int) -> Times:
        """For a settle window."""
        share = int(window_ms * SHARE)
        return cls(min(NEAR_MS, share), min(POSTING_MS, 2 * share))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What SES told of mails that were called at about the same time.

    `witnessed`: something reached us while its own event would have been posted: the channel ran
    then. `silent`: of a mail that SES accepted near it, nothing yet.
    """

    witnessed: bool
    silent: bool


UNPROVEN: Final = "not resent: nothing proves that SES's events came then; an operator may decide"
UNKNOWN: Final = Neighbours(witnessed=False, silent=True)


def settle(  # noqa: PLR0911 - a table of cases reads best as one
    doubt: InDoubt,
    neighbours: Neighbours,
    *,
    now_ms: int,
    window_ms: int,
    margin_ms: int,
    events_read_ms: int,
    order: Literal["leave", "resend"] | None = None,
) -> tuple[Decision, str]:
    """What to do now, and the reason to record.

    `events_read_ms`: a time up to which all events on the log of its partition have been read.
    `order`: what an operator asked for, over the policy and over the proof.
    """
    if order == "leave":
        return "leave", "left by an operator"
    if now_ms < doubt.settle_after_ms:
        return "wait", "the settle window is open"
    if events_read_ms < doubt.settle_after_ms:
        return "wait", "events are still being read"
    if not (order == "resend" or doubt.resend):
        return "leave", "SES reported nothing within the settle window"
    if doubt.attempt > 1:
        return "leave", "in doubt again after it was resent once"
    if doubt.deadline_ms is not None and now_ms >= doubt.deadline_ms - margin_ms:
        return "leave", "not resent: its deadline has passed"
    if neighbours.silent and now_ms < doubt.settle_after_ms + SILENT_WINDOWS * window_ms:
        return "wait", "SES has not yet told of all that was called at the same time"
    if order == "resend":
        return "resend", "resent once, by an operator"
    if neighbours.silent or not neighbours.witnessed:
        return "leave", UNPROVEN
    return "resend", "SES told of others at the time, of this one nothing; resent once"
