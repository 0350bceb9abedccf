"""Where a send stands, from its order and what was decided of it. Pure.

The words are the ones of the design: draft, scheduled, freezing, held, sending, paused, finished,
cancelled; `empty` when nobody was in the audience.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from shared.wire.programme import SendDecision, SendOrder

State = Literal[
    "draft",
    "scheduled",
    "freezing",
    "held",
    "sending",
    "paused",
    "cancelling",
    "finished",
    "cancelled",
    "empty",
]

MEANING: Final[dict[State, str]] = {
    "draft": "Nobody has launched or scheduled it.",
    "scheduled": "It will freeze its audience when it is due.",
    "freezing": "It is due; its audience is being frozen.",
    "held": "Its audience is frozen and differs from what was approved: somebody must look.",
    "sending": "Its audience is frozen and its mail is going out.",
    "paused": "Nothing of it goes out until somebody resumes it.",
    "cancelling": "It was cancelled; the books of its audience are being closed.",
    "finished": "Every supporter of its audience has a final state.",
    "cancelled": "It was cancelled, and nothing of it is open.",
    "empty": "It was due, and nobody was in its audience.",
}

OPEN: Final = "It is open: whoever enters its segment from now on gets it, once."
"""What `sending` means of a send that mails whoever newly qualifies."""

OVER: Final[frozenset[State]] = frozenset({"finished", "cancelled", "empty"})
"""States that nothing leads out of."""

UNDER_WAY: Final[frozenset[State]] = frozenset({"freezing", "sending"})
"""States in which something is released without anybody doing anything more."""


def state_of(order: SendOrder | None, decision: SendDecision | None, now: datetime) -> State:
    """The state at `now`."""
    state: State
    if decision is not None and decision.state in ("finished", "cancelled", "empty"):
        state = decision.state
    elif order is None or (order.due_at is None and decision is None and not order.cancelled):
        state = "draft"
    elif order.cancelled:
        due = order.due_at is not None and order.due_at <= now
        state = "cancelling" if decision is not None or due else "cancelled"
    elif order.paused:
        state = "paused"
    elif decision is not None:
        state = "held" if decision.state == "held" else "sending"
    else:
        state = "freezing" if order.due_at is not None and order.due_at <= now else "scheduled"
    return state
