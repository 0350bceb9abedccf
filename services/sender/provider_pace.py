"""How fast each mailbox provider is mailed: tokens leased before a unit, spent inside it.

Each provider has a bucket like the account's; senders on one PostgreSQL ledger share its row. Never
leased inside a unit: a lease must not wait for a unit's commit, nor weaken it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from services.sender.pace import Pace
from shared.programme.providers import Providers

MakePace = Callable[[int, Callable[[], float]], Pace]
"""A pace of (the number of its row, its rate now)."""


class ProviderPace:
    """Used by the dispatcher's thread."""

    def __init__(self, make: MakePace) -> None:
        self._make = make
        self._providers = Providers()
        self._paces: dict[str, Pace] = {}
        self._tokens: dict[str, int] = {}
        self._asked: set[str] = set()

    def lease(self, providers: Providers, parked: Iterable[str], wanted: int) -> None:
        """Up to `wanted` calls for each that was asked for, or for whom something is parked.

        Others on the ledger get what nobody here needs. Raises RetryLater when nobody can say.
        """
        self._providers = providers
        names = self._asked.union(parked).intersection(providers.rates)
        self._asked = set()
        for name in sorted(names):
            if name not in self._paces:
                self._paces[name] = self._make(row_of(name), lambda name=name: self._rate(name))  # type: ignore[misc]
            self._tokens[name] = self._paces[name].take(wanted)

    def give_back(self) -> None:
        """What was not spent."""
        for name, left in self._tokens.items():
            self._paces[name].give_back(left)
        self._tokens = {}

    def of(self, address: str) -> str | None:
        """The provider that has a rate of its own, if any."""
        return self._providers.of(address)

    def open(self) -> list[str]:
        """Those that may be mailed now."""
        return [name for name, left in self._tokens.items() if left]

    def spend(self, name: str) -> bool:
        """Whether one more call may start for a provider; if so it is paid for."""
        self._asked.add(name)
        left = self._tokens.get(name, 0)
        if not left:
            return False
        self._tokens[name] = left - 1
        return True

    def _rate(self, name: str) -> float:
        return self._providers.rates[name]


def row_of(provider: str) -> int:
    """The number of its row of the pace; 1 is the account's."""
    digest = hashlib.blake2b(provider.encode(), digest_size=4).digest()
    return 2 + int.from_bytes(digest) % 2**30
