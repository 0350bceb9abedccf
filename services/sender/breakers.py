"""Breakers: when a send is to be held because going on would harm. Pure.

SES reviews an account above 5 % hard bounces or 0.1 % complaints, and may pause it at twice or five
times that (Amazon SES developer guide, "Sending review process FAQs"). A send that is on its way
there stops itself, for a person to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from services.sender.gateway import Verdict

Why = Literal["bounces", "complaints", "failures", "refused"]
"""What made the sender hold a send; refused: SES would refuse every message of it."""

LEAST_COMPLAINTS: Final = 5
"""Fewer are chance: among a thousand people one may always complain."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`window`: the newest fates that are looked at; fewer than `least` trip nothing.

    `bounces`, `complaints`: the largest shares that pass. `failures`: refusals in a row. A limit of
    nought is none.
    """

    window: int
    least: int
    bounces: float
    complaints: float
    failures: int


@dataclass(frozen=True, slots=True)
class Fates:
    """Of mails whose fate SES has told: delivered or bounced, hard or soft."""

    told: int = 0
    bounced: int = 0
    complained: int = 0


@dataclass(frozen=True, slots=True)
class Trip:
    """A breaker that opened, and the reason for people."""

    why: Why
    reason: str


def newest(slots: Iterable[Fates], window: int) -> Fates:
    """The sum of the first slots, newest first, that together hold `window` fates."""
    told = bounced = complained = 0
    for slot in slots:
        told += slot.told
        bounced += slot.bounced
        complained += slot.complained
        if told >= window:
            break
    return Fates(told, bounced, complained)


def trip(fates: Fates, rules: Rules) -> Trip | None:
    """Whether these fates are too bad to go on."""
    if fates.told < rules.least:
        return None
    if 0 < rules.bounces * fates.told < fates.bounced:
        return Trip("bounces", _said("bounced", fates.bounced, fates.told, rules.bounces))
    many = fates.complained >= LEAST_COMPLAINTS
    if many and 0 < rules.complaints * fates.told < fates.complained:
        said = _said("were complained of", fates.complained, fates.told, rules.complaints)
        return Trip("complaints", said)
    return None


def _said(what: str, number: int, told: int, limit: float) -> str:
    return (
        f"{number:,} of the last {told:,} mails {what} ({number / told:.2%}; "
        f"more than {limit:.2%} holds a send)"
    )


class FailuresInARow:
    """Refusals of a send's messages without an acceptance between them, as one sender sees them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._in_a_row: Counter[str] = Counter()

    def note(self, send_id: str, verdict: Verdict) -> None:
        """One more answer of SES."""
        if verdict == "failed":
            self._in_a_row[send_id] += 1
        elif verdict == "accepted":
            del self._in_a_row[send_id]

    def trip(self, send_id: str, reason: str) -> Trip | None:
        """What one more refusal for `reason` means for the send."""
        number = self._in_a_row[send_id]
        if not self._most or number < self._most:
            return None
        return Trip("failures", f"SES refused {number} mails in a row, the last with: {reason}")
