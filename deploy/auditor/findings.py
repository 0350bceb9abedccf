"""The checks: each takes the evidence and names what does not balance. Pure.

A finding names messages by their id, never a person by address.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from deploy.auditor.evidence import (
    ACCEPTED,
    UNCONFIRMED,
    UNSENT,
    Evidence,
    FrozenRow,
    LedgerRow,
    Mail,
    Policy,
    Withdrawal,
)

Kind = Literal[
    "doubled",
    "doubled inbox",
    "missed",
    "without a final state",
    "not booked as accepted",
    "nobody's mail",
    "outside the frozen set",
    "books disagree",
    "after the deadline",
    "wrong address",
    "mailed after withdrawal",
    "asked again",
    "mail file lost",
    "too many unconfirmed",
]

MEANING: Final[dict[Kind, str]] = {
    "doubled": "SES took more than one mail for one message",
    "doubled inbox": "one inbox got more than one message of a send",
    "missed": "accepted by the books or owed one more attempt, but SES has no mail",
    "without a final state": "neither sent nor accounted for",
    "not booked as accepted": "SES has a mail, the ledger says otherwise",
    "nobody's mail": "SES has a mail that no ledger row stands for",
    "outside the frozen set": "not of the audience that was frozen",
    "books disagree": "the ledger and the frozen sets tell different ends",
    "after the deadline": "SES took the mail when its deadline had passed",
    "wrong address": "the mail did not go to the address in the ledger",
    "mailed after withdrawal": "SES took a mail that somebody's word should have stopped by then",
    "asked again": "asked of SES once more than the policy for doubt allows",
    "mail file lost": "SES's journal has more acceptances than there are mail files",
    "too many unconfirmed": "more than kills and ambiguous answers explain",
}

ATTEMPTS_ALLOWED: Final[dict[Policy, int]] = {"leave": 1, "resend": 2}

NOT_RESENT: Final = "not resent: "
ITS_DEADLINE: Final = "its deadline"
BY_ORDER: Final = "left by an operator"
"""How the ledger's `reason` begins when something stopped the second attempt."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not balance."""

    kind: Kind
    send: str
    message_id: str
    says: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """What may at most be unconfirmed: a window a kill, and each ambiguous answer.

    `kills` None: nothing is known of kills, so there is no bound.
    """

    kills: int | None = None
    window: int = 16
    ambiguous: int = 0

    @property
    def allowed(self) -> int | None:
        return None if self.kills is None else self.kills * self.window + self.ambiguous


def find(evidence: Evidence, policy: Policy, doubt: Doubt) -> tuple[Finding, ...]:
    """Everything that does not balance, kind by kind."""
    return (
        *doubled(evidence),
        *doubled_inboxes(evidence),
        *missed(evidence),
        *never_resent(evidence, policy),
        *without_final_state(evidence),
        *wrongly_booked(evidence),
        *outside_frozen_set(evidence),
        *disagreements(evidence),
        *late_or_misdirected(evidence),
        *mailed_after_withdrawal(evidence),
        *asked_again(evidence, policy),
        *lost_files(evidence),
        *too_many_unconfirmed(evidence, doubt),
    )


def doubled(evidence: Evidence) -> Iterator[Finding]:
    """More than one mail, or more than one acceptance in SES's journal, for one message."""
    files = Counter(mail.message_id for mail in evidence.mails)
    lines = Counter(one.tags.get("m", "") for one in evidence.asked if one.accepted)
    sends = {mail.message_id: mail.send for mail in evidence.mails}
    for message_id in sorted(files | lines):
        number = max(files[message_id], lines[message_id])
        if message_id and number > 1:
            send = sends.get(message_id, "")
            yield Finding("doubled", send, message_id, f"{number} mails")


def doubled_inboxes(evidence: Evidence) -> Iterator[Finding]:
    """Different messages of one send to one address, where the send is one per inbox."""
    per_person = {row.message_id for row in evidence.ledger if not row.per_inbox}
    inboxes: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for mail in evidence.mails:
        if mail.message_id in per_person:
            continue
        for address in mail.recipients:
            place = (mail.send, mail.tags.get("o", "0"), address.casefold())
            inboxes[place].add(mail.message_id)
    for (send, _, _), messages in inboxes.items():
        if len(messages) > 1:
            first, *others = sorted(messages)
            yield Finding("doubled inbox", send, first, f"the same inbox: {', '.join(others)}")


def missed(evidence: Evidence) -> Iterator[Finding]:
    """Accepted by the ledger or, without a ledger row, by the frozen set; and no mail."""
    mailed = {mail.message_id for mail in evidence.mails}
    for row in evidence.ledger:
        if row.state == ACCEPTED and row.message_id not in mailed:
            yield Finding("missed", row.send, row.message_id, "accepted in the ledger, no mail")
    known = mailed | {row.message_id for row in evidence.ledger}
    for frozen in evidence.frozen or ():
        if frozen.state == ACCEPTED and frozen.message_id not in known:
            said = "accepted in the frozen set, no mail"
            yield Finding("missed", frozen.send, frozen.message_id, said)


def never_resent(evidence: Evidence, policy: Policy) -> Iterator[Finding]:
    """Left in doubt after one attempt with no mail and nothing that stopped the second one.

    What the send's policy is, the caller says; the ledger could have forgotten it.
    """
    if policy != "resend":
        return
    mailed = {mail.message_id for mail in evidence.mails}
    for row in unconfirmed(evidence.ledger):
        if row.attempt > 1 or row.message_id in mailed or _was_stopped(row):
            continue
        said = "in doubt and never resent, and the ledger names nothing that stopped it"
        yield Finding("missed", row.send, row.message_id, said)


def without_final_state(evidence: Evidence) -> Iterator[Finding]:
    """Open in the ledger; or in the frozen set without an end, and unknown to the ledger."""
    kind: Kind = "without a final state"
    for row in evidence.ledger:
        if row.final is None:
            state = row.state if row.state != UNCONFIRMED else "in doubt, not settled"
            yield Finding(kind, row.send, row.message_id, f"{state} in the ledger")
    known = {row.message_id for row in evidence.ledger}
    for frozen in evidence.frozen or ():
        if frozen.final is None and frozen.message_id not in known:
            said = "released, never reached the ledger" if frozen.released else "never released"
            yield Finding(kind, frozen.send, frozen.message_id, said)


def wrongly_booked(evidence: Evidence) -> Iterator[Finding]:
    """A mail whose ledger row is not accepted, or that has no row."""
    rows = {row.message_id: row for row in evidence.ledger}
    for mail in evidence.mails:
        row = rows.get(mail.message_id)
        if row is None:
            yield Finding("nobody's mail", mail.send, mail.message_id, f"the file {mail.file}")
        elif row.state != ACCEPTED:
            said = f"{row.state} in the ledger"
            yield Finding("not booked as accepted", mail.send, mail.message_id, said)


def outside_frozen_set(evidence: Evidence) -> Iterator[Finding]:
    """Mails and ledger rows of messages that no frozen set holds."""
    if evidence.frozen is None:
        return
    meant = {(row.send, row.message_id) for row in evidence.frozen}
    mails = {(mail.send, mail.message_id) for mail in evidence.mails} - meant
    rows = {(row.send, row.message_id) for row in evidence.ledger} - meant
    for send, message_id in sorted(mails | rows):
        said = "has a mail" if (send, message_id) in mails else "has a ledger row"
        yield Finding("outside the frozen set", send, message_id, said)


def disagreements(evidence: Evidence) -> Iterator[Finding]:
    """Another end in the ledger than in the frozen set; or one that the ledger must know of."""
    rows = {row.message_id: row for row in evidence.ledger}
    for frozen in evidence.frozen or ():
        said = _disagreement(rows.get(frozen.message_id), frozen)
        if said:
            yield Finding("books disagree", frozen.send, frozen.message_id, said)


def late_or_misdirected(evidence: Evidence) -> Iterator[Finding]:
    """Mails that SES took too late, or that went elsewhere than the ledger says."""
    rows = {row.message_id: row for row in evidence.ledger}
    for mail in evidence.mails:
        row = rows.get(mail.message_id)
        if row is None:
            continue
        if row.deadline_ms is not None and mail.accepted_ms > row.deadline_ms:
            said = f"deadline {_clock(row.deadline_ms)}, accepted {_clock(mail.accepted_ms)}"
            yield Finding("after the deadline", row.send, row.message_id, said)
        wanted = [row.to_address.casefold()]
        if row.to_address and [one.casefold() for one in mail.recipients] != wanted:
            yield Finding("wrong address", row.send, row.message_id, f"the file {mail.file}")


def mailed_after_withdrawal(evidence: Evidence) -> Iterator[Finding]:
    """Mails that SES took for a person or an inbox after the moment that ends it."""
    people: dict[str, list[Withdrawal]] = defaultdict(list)
    inboxes: dict[str, list[Withdrawal]] = defaultdict(list)
    for one in evidence.withdrawals:
        if one.supporter_id is not None:
            people[one.supporter_id].append(one)
        if one.address is not None:
            inboxes[one.address.casefold()].append(one)
    for mail in evidence.mails:
        about = list(people.get(mail.supporter_id, ()))
        for address in mail.recipients:
            about += inboxes.get(address.casefold(), ())
        if broken := [one for one in about if _is_broken(one, mail)]:
            first = min(broken, key=lambda one: one.after_ms)
            said = (
                f"{first.says}; no mail after {_clock(first.after_ms)},"
                f" accepted {_clock(mail.accepted_ms)}"
            )
            yield Finding("mailed after withdrawal", mail.send, mail.message_id, said)


def asked_again(evidence: Evidence, policy: Policy) -> Iterator[Finding]:
    """More requests that SES took, or may have taken for all the sender knew, than allowed.

    One is; one more when the policy lets what is in doubt be resent.
    """
    unsafe = Counter(
        (one.tags.get("s", ""), one.tags.get("m", ""))
        for one in evidence.asked
        if one.accepted or one.ambiguous
    )
    allowed = ATTEMPTS_ALLOWED[policy]
    for (send, message_id), number in sorted(unsafe.items()):
        if number > allowed:
            said = f"{number} requests, the policy {policy!r} allows {allowed}"
            yield Finding("asked again", send, message_id, said)


def lost_files(evidence: Evidence) -> Iterator[Finding]:
    """An acceptance in SES's journal must have its mail file, or a double could hide."""
    files = Counter(mail.message_id for mail in evidence.mails)
    lines = Counter(
        (one.tags.get("s", ""), one.tags.get("m", "")) for one in evidence.asked if one.accepted
    )
    for (send, message_id), number in sorted(lines.items()):
        if number > files[message_id]:
            said = f"{number} acceptances, {files[message_id]} files"
            yield Finding("mail file lost", send, message_id, said)


def too_many_unconfirmed(evidence: Evidence, doubt: Doubt) -> Iterator[Finding]:
    """Everyone left unconfirmed needs a kill or an ambiguous answer that explains it."""
    found = unconfirmed(evidence.ledger)
    if doubt.allowed is not None and len(found) > doubt.allowed:
        said = f"{len(found)} unconfirmed, at most {doubt.allowed} can be explained"
        yield Finding("too many unconfirmed", "", "", said)


def unconfirmed(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Those that ended in doubt."""
    return [row for row in rows if row.final == UNCONFIRMED]


def _was_stopped(row: LedgerRow) -> bool:
    """Whether the ledger says what stopped the second attempt.

    A deadline, a cancellation, a suppression, no proof that events came, an operator; a deadline is
    believed only of a message that has one.
    """
    said = row.reason or ""
    if said.startswith(NOT_RESENT + ITS_DEADLINE):
        return row.deadline_ms is not None
    return said.startswith((NOT_RESENT, BY_ORDER))


def _is_broken(withdrawal: Withdrawal, mail: Mail) -> bool:
    return withdrawal.send in {None, mail.send} and mail.accepted_ms > withdrawal.after_ms


def _disagreement(row: LedgerRow | None, frozen: FrozenRow) -> str | None:
    if row is None:
        if frozen.final is None or frozen.final in UNSENT:
            return None
        return f"{frozen.final} in the frozen set, unknown to the ledger"
    if row.send != frozen.send or row.supporter_id != frozen.supporter_id:
        return "another send or supporter in the ledger"
    if row.final == frozen.final:
        return None
    return f"{row.final or 'open'} in the ledger, {frozen.final or 'open'} in the frozen set"


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
