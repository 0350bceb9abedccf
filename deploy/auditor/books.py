"""The books of each send: everyone who was meant to get it, by final state. Pure.

frozen = accepted + suppressed + excluded + capped + expired + cancelled + failed + unconfirmed
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from deploy.auditor.evidence import FINALS, Evidence


@dataclass(frozen=True, slots=True)
class Books:
    """One send. `frozen` is the size of its audience, `finals` how many ended in each state."""

    send: str
    frozen: int
    finals: dict[str, int]

    @property
    def open(self) -> int:
        """How many are missing from the equation; below zero: more ends than people."""
        return self.frozen - sum(self.finals.values())


def balance(evidence: Evidence) -> tuple[Books, ...]:
    """The books of every send, by name.

    A person's end is what the ledger says, or the frozen set where the ledger never had the
    message. Without frozen sets the audience is what the ledger took in.
    """
    audience: Counter[str] = Counter()
    finals: dict[str, Counter[str]] = defaultdict(Counter)
    for row in evidence.ledger:
        if evidence.frozen is None:
            audience[row.send] += 1
        if row.final is not None:
            finals[row.send][row.final] += 1
    known = {row.message_id for row in evidence.ledger}
    for frozen in evidence.frozen or ():
        audience[frozen.send] += 1
        if frozen.message_id not in known and frozen.final is not None:
            finals[frozen.send][frozen.final] += 1
    return tuple(
        Books(send, audience[send], {state: finals[send][state] for state in FINALS})
        for send in sorted(audience.keys() | finals.keys())
    )
