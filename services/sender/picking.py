"""Picking: which ready messages of a send are looked at next.

Usually the oldest. Where the day of a warming domain is full, none. Where a mailbox provider is
full, its messages are parked and those behind them are seen; they come first when it is free again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from services.sender.gates import Gate, Waiting
from services.sender.last_look import Candidate
from services.sender.ledger import Ledger
from services.sender.provider_pace import ProviderPace

SCAN: Final = 100
"""So many are seen at once where some may have to be passed over."""
MOST_SCANNED: Final = 400
"""And so many in one unit, which others wait for."""
MOST_PARKED: Final = 20_000
FORGET_SECONDS: Final = 10.0
"""Then all are seen again: what was put back meanwhile stands before what was passed."""


class Parked:
    """Numbers of rows that were passed over. Used by the dispatcher's thread."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], deque[int]] = {}
        self._passed: dict[tuple[str, int], int] = {}
        self._number, self._since = 0, 0.0

    def begin(self, boot: float) -> None:
        """Forget what was passed long ago."""
        if boot - self._since > FORGET_SECONDS:
            self.clear()
            self._since = boot

    def clear(self) -> None:
        """See everything again."""
        self._rows.clear()
        self._passed.clear()
        self._number = 0

    @property
    def number(self) -> int:
        """How many are parked."""
        return self._number

    def providers(self) -> set[str]:
        """For whom something is parked."""
        return {provider for (_, provider), rows in self._rows.items() if rows}

    def passed(self, send_id: str, partition: int) -> int:
        """Rows up to this number were seen."""
        return self._passed.get((send_id, partition), -1)

    def park(self, candidate: Candidate, provider: str) -> bool:
        """Pass over a row; False when there is no room for more."""
        if self._number >= MOST_PARKED:
            return False
        self._rows.setdefault((candidate.send_id, provider), deque()).append(candidate.entry_no)
        self._passed[candidate.send_id, candidate.partition] = candidate.entry_no
        self._number += 1
        return True

    def recall(self, send_id: str, providers: Sequence[str], limit: int) -> list[int]:
        """Up to `limit` of a send that were parked for these providers, the oldest first."""
        found: list[int] = []
        for provider in providers:
            rows = self._rows.get((send_id, provider))
            while rows and len(found) < limit:
                found.append(rows.popleft())
        self._number -= len(found)
        return found


class Picking:
    """Of one unit."""

    def __init__(
        self,
        ledger: Ledger,
        gate: Gate,
        providers: ProviderPace,
        parked: Parked,
        waiting: Waiting,
        partitions: Sequence[int],
        boot: float,
    ) -> None:
        self._ledger, self._gate, self._providers = ledger, gate, providers
        self._parked, self._waiting, self._boot = parked, waiting, boot
        self._partitions = partitions
        self._scanned = 0
        parked.begin(boot)

    def next(self, send_id: str, limit: int) -> list[Candidate]:
        """Up to `limit` that may be looked at; none when nothing of the send may go now."""
        recalled = self._parked.recall(send_id, self._providers.open(), limit)
        if recalled:
            rows = self._ledger.ready_rows(recalled, self._partitions)
            if admitted := self._admitted(self._gate.admit(rows), limit):
                return admitted
        while self._scanned < MOST_SCANNED:
            found = self._ledger.pick(
                send_id,
                self._gate.turned(self._partitions),
                SCAN if self._parked.number else limit,
                each=1 if self._gate.warming else None,
                passed=self._parked.passed,
            )
            let_go = self._gate.admit(found)
            if found and not let_go:
                self._waiting.note(send_id, self._boot)
            before = self._parked.number
            if admitted := self._admitted(let_go, limit):
                return admitted
            if self._parked.number == before:
                break
        return []

    def _admitted(self, let_go: Sequence[Candidate], limit: int) -> list[Candidate]:
        """Those that may go, in order; those of full providers are parked on the way."""
        admitted: list[Candidate] = []
        for candidate in let_go:
            if len(admitted) == limit:
                break
            self._scanned += 1
            provider = self._providers.of(candidate.to_address)
            if provider is None or self._providers.spend(provider):
                admitted.append(candidate)
            elif not self._parked.park(candidate, provider):
                break
        return admitted
