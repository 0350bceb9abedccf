"""Mailbox providers of a campaign, as who sends needs them: whose an address is, how fast. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter

from shared.programme.definitions import Provider

_BY_NAME: Final = TypeAdapter(dict[str, Provider])


@dataclass(frozen=True, slots=True)
class Providers:
    """`rates`: provider to messages a second. `by_suffix`: end of a mail domain to provider."""

    rates: Mapping[str, float] = field(default_factory=dict)
    by_suffix: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_campaign(cls, body: Mapping[str, Any]) -> Providers:
        """From the body of a campaign's definition. Raises ValueError when it cannot be read."""
        by_name = _BY_NAME.validate_python(body.get("providers", {}))
        return cls(
            {name: one.rate for name, one in by_name.items()},
            {domain: name for name, one in by_name.items() for domain in one.domains},
        )

    def of(self, address: str) -> str | None:
        """Whose mailbox it is: the longest end of its domain that is known; None for the others."""
        domain = address.rpartition("@")[2].casefold()
        while domain:
            if domain in self.by_suffix:
                return self.by_suffix[domain]
            domain = domain.partition(".")[2]
        return None
