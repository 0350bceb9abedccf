"""The verdict: everything found, the books, and both of them as text and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final

from deploy.auditor.books import Books, balance
from deploy.auditor.evidence import FINALS, Evidence, Policy
from deploy.auditor.findings import MEANING, Doubt, Finding, find, unconfirmed

NAMED: Final = 10
"""How many findings of a kind the text names; the JSON has all."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`balanced`: nothing was found and every send's equation holds.

    `resent`: messages that were attempted a second time.
    """

    policy: Policy
    mails: int
    messages: int
    unconfirmed: int
    resent: int
    doubt: Doubt
    books: tuple[Books, ...]
    findings: tuple[Finding, ...]

    @property
    def balanced(self) -> bool:
        return not self.findings and all(book.open == 0 for book in self.books)

    def counts(self) -> dict[str, int]:
        """How many findings of every kind, none left out."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in MEANING}

    def as_json(self) -> dict[str, object]:
        """All of it."""
        return {
            "balanced": self.balanced,
            "policy": self.policy,
            "mails": self.mails,
            "messages": self.messages,
            "unconfirmed": self.unconfirmed,
            "unconfirmed_allowed": self.doubt.allowed,
            "ambiguous": self.doubt.ambiguous,
            "resent": self.resent,
            "counts": self.counts(),
            "books": {
                book.send: {"frozen": book.frozen, **book.finals, "open": book.open}
                for book in self.books
            },
            "findings": [asdict(finding) for finding in self.findings],
        }

    def as_text(self) -> str:
        """For people: the judgement, the books, what was looked for, what was found."""
        judgement = "everything balances" if self.balanced else "IT DOES NOT BALANCE"
        lines = [f"{self.messages} messages, {self.mails} mails: {judgement}.", ""]
        lines += _table(self.books)
        lines += ["", f"unconfirmed: {self.unconfirmed}{self._bound()}", f"resent: {self.resent}"]
        lines += [f"{kind}: {number}" for kind, number in self.counts().items()]
        for kind, meaning in MEANING.items():
            found = [finding for finding in self.findings if finding.kind == kind]
            if found:
                lines += ["", f"{kind} ({meaning}):"]
                lines += [f"  {one.message_id} {one.send}: {one.says}" for one in found[:NAMED]]
            if len(found) > NAMED:
                lines.append(f"  and {len(found) - NAMED} more; --json names all")
        return "\n".join(lines)

    def _bound(self) -> str:
        doubt = self.doubt
        if doubt.allowed is None:
            return " (no bound: --kills was not given)"
        return (
            f" (at most {doubt.kills} kills x {doubt.window} in flight"
            f" + {doubt.ambiguous} ambiguous answers = {doubt.allowed})"
        )


def judge(evidence: Evidence, policy: Policy, doubt: Doubt) -> Verdict:
    """Look at all of it."""
    return Verdict(
        policy=policy,
        mails=len(evidence.mails),
        messages=len(evidence.frozen if evidence.frozen is not None else evidence.ledger),
        unconfirmed=len(unconfirmed(evidence.ledger)),
        resent=sum(row.attempt > 1 for row in evidence.ledger),
        doubt=doubt,
        books=balance(evidence),
        findings=find(evidence, policy, doubt),
    )


def _table(books: tuple[Books, ...]) -> list[str]:
    names = ("frozen", *FINALS, "open")
    wide = max([len(book.send) for book in books] + [len("send")])
    lines = ["  ".join(["send".ljust(wide), *names])]
    for book in books:
        numbers = (book.frozen, *book.finals.values(), book.open)
        cells = [str(n).rjust(len(name)) for name, n in zip(names, numbers, strict=True)]
        lines.append("  ".join([book.send.ljust(wide), *cells]))
    return lines
