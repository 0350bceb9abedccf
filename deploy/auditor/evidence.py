"""What the auditor looks at: mails, requests, ledger rows and frozen rows, as plain facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal

Policy = Literal["leave", "resend"]

ACCEPTED: Final = "accepted"
UNCONFIRMED: Final = "unconfirmed"
UNSENT: Final = ("suppressed", "excluded", "capped", "expired", "cancelled", "failed")
FINALS: Final = (ACCEPTED, *UNSENT, UNCONFIRMED)
"""The eight states a message of a frozen audience ends in, in the order of the books."""


class EvidenceError(ValueError):
    """A file or table is not what it has to be; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that SES took. `tags` are those of the request; `file` its name."""

    file: str
    accepted_ms: int
    recipients: tuple[str, ...]
    tags: dict[str, str]

    @property
    def message_id(self) -> str:
        return self.tags.get("m", "")

    @property
    def send(self) -> str:
        return self.tags.get("s", "")

    @property
    def supporter_id(self) -> str:
        return self.tags.get("p", "")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to SES. `answer`: the HTTP status the sender was given, None for none at all."""

    accepted: bool
    answer: int | None
    tags: dict[str, str]

    @property
    def ambiguous(self) -> bool:
        """SES did not take it, and its answer (or silence) did not say so."""
        return not self.accepted and (self.answer is None or self.answer >= 500)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the ledger says of one message. Not `settled`: still in doubt.

    `attempt` counts the calls that SES took or may have taken; `reason` is the ledger's word for
    the state; `to_address` is empty once the person was erased.
    """

    message_id: str
    send: str
    occurrence: int
    supporter_id: str
    to_address: str
    per_inbox: bool
    deadline_ms: int | None
    state: str
    settled: bool
    attempt: int
    reason: str | None

    @property
    def final(self) -> str | None:
        """The final state, None while it is open."""
        return self.state if self.settled and self.state in FINALS else None


@dataclass(frozen=True, slots=True)
class FrozenRow:
    """What a frozen set says of one person: meant to get this message, and what became of it."""

    message_id: str
    send: str
    supporter_id: str
    state: str | None
    settled: bool
    released: bool

    @property
    def final(self) -> str | None:
        """The final state, None while it is open."""
        return self.state if self.settled and self.state in FINALS else None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A moment after which SES may take no mail for a person, or else for an inbox.

    Of `send`, or of any when it is None. `says` how it came about, without an address.
    """

    after_ms: int
    says: str
    supporter_id: str | None
    address: str | None
    send: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it. `frozen` None: no frozen sets were given, so the ledger is the audience."""

    mails: tuple[Mail, ...]
    asked: tuple[Asked, ...]
    ledger: tuple[LedgerRow, ...]
    frozen: tuple[FrozenRow, ...] | None
    withdrawals: tuple[Withdrawal, ...] = ()

    def only(self, sends: Collection[str]) -> Evidence:
        """The part about these sends."""
        return Evidence(
            tuple(mail for mail in self.mails if mail.send in sends),
            tuple(one for one in self.asked if one.tags.get("s") in sends),
            _about(self.ledger, sends),
            None if self.frozen is None else _about_frozen(self.frozen, sends),
            tuple(one for one in self.withdrawals if one.send is None or one.send in sends),
        )


def _about(rows: Iterable[LedgerRow], sends: Collection[str]) -> tuple[LedgerRow, ...]:
    return tuple(row for row in rows if row.send in sends)


def _about_frozen(rows: Iterable[FrozenRow], sends: Collection[str]) -> tuple[FrozenRow, ...]:
    return tuple(row for row in rows if row.send in sends)
