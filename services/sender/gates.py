"""Gates: how much of what is ready the sending domain's warm-up lets go today.

Counted in the ledger when calls are intended, and given back for what SES certainly did not take,
so that all senders on it together keep to the day's count. What may be in doubt counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from math import inf
from typing import Final, TypeVar

from services.sender.last_look import Candidate
from shared.observability.metrics import Metrics
from shared.programme.warm_ups import WarmUps, domain_of
from shared.store.database import Database

WAIT_SECONDS: Final = 1.0
"""A send of which nothing may go is not looked at for so long."""
_TURN: Final = ""
"""Whose row all senders touch first, so that two never wait for each other."""

_Number = TypeVar("_Number", bound=int)


class Gate:
    """What may still go in this unit. Used inside it."""

    def __init__(self, database: Database, warm_ups: WarmUps, now: datetime) -> None:
        self._db, self.day = database, warm_ups.day(now)
        self._most = warm_ups.limits(self.day)
        self._sent = self._counted() if self._most else {}

    @property
    def warming(self) -> bool:
        """Whether there is a limit today for any domain."""
        return bool(self._most)

    def left(self) -> float:
        """The least that is left of any domain's day."""
        return min((self._left(domain) for domain in self._most), default=inf)

    def turned(self, partitions: Sequence[_Number]) -> list[_Number]:
        """The partitions, beginning with another one as mails go: the engaged of all go first."""
        if not self._most or not partitions:
            return list(partitions)
        first = sum(self._sent.values()) % len(partitions)
        return [*partitions[first:], *partitions[:first]]

    def admit(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those of them that may go, in their order."""
        if not self._most:
            return list(candidates)
        taken: Counter[str] = Counter()
        admitted = []
        for candidate in candidates:
            domain = domain_of(candidate.sender)
            if taken[domain] < self._left(domain):
                taken[domain] += 1
                admitted.append(candidate)
        return admitted

    def spend(self, going: Iterable[Candidate]) -> None:
        """These are called directly after this unit."""
        self._add(Counter(domain_of(one.sender) for one in going))

    def give_back(self, untaken: Iterable[Candidate]) -> None:
        """SES certainly did not take these."""
        returned = Counter(domain_of(one.sender) for one in untaken)
        self._add({domain: -number for domain, number in returned.items()})

    def _left(self, domain: str) -> float:
        most = self._most.get(domain)
        return inf if most is None else max(0, most - self._sent.get(domain, 0))

    def _counted(self) -> dict[str, int]:
        """What has gone today; nobody else counts before the unit ends."""
        self._db.execute(
            "insert into warm_up_day(domain, day, sent) values (?, '', 0)"
            " on conflict (domain, day) do update set sent = 0",
            (_TURN,),
        )
        return sent_on(self._db, self.day)

    def _add(self, numbers: Mapping[str, int]) -> None:
        warming = {domain: n for domain, n in numbers.items() if domain in self._most and n}
        for domain, number in warming.items():
            self._sent[domain] = max(0, self._sent.get(domain, 0) + number)
        self._db.executemany(
            "insert into warm_up_day(domain, day, sent) values (?, ?, ?)"
            " on conflict (domain, day) do update set sent = excluded.sent",
            [(domain, str(self.day), self._sent[domain]) for domain in sorted(warming)],
        )


def sent_on(database: Database, day: date) -> dict[str, int]:
    """Domain to how many mails of its warm-up have gone on a day."""
    return {
        domain: int(sent)
        for domain, sent in database.execute(
            "select domain, sent from warm_up_day where day = ?", (str(day),)
        )
    }


class Waiting:
    """Sends of which nothing may go for the moment. Used by the dispatcher's thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._until: dict[str, float] = {}
        metrics.warm_up_left.set(inf)

    def note(self, send_id: str, boot: float) -> None:
        """Nothing of it was admitted at this time."""
        self._until[send_id] = boot + WAIT_SECONDS

    def without(self, sends: Iterable[str], boot: float) -> list[str]:
        """The sends that are to be looked at now."""
        self._until = {name: until for name, until in self._until.items() if until > boot}
        return [send_id for send_id in sends if send_id not in self._until]

    def tell(self, gate: Gate) -> None:
        """What is left of the day."""
        self._metrics.warm_up_left.set(gate.left())
