"""The warm-ups of a campaign's sending domains, as who sends and who releases need them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from shared.programme.definitions import WarmUp

_BY_DOMAIN: Final = TypeAdapter(dict[str, WarmUp])


def domain_of(sender: str) -> str:
    """The domain of `Name <user@domain>`, in small letters."""
    return sender.rpartition("@")[2].rstrip("> ").casefold()


@dataclass(frozen=True, slots=True)
class WarmUps:
    """By sending domain; days are of the zone."""

    by_domain: Mapping[str, WarmUp] = field(default_factory=dict)
    zone: str = "UTC"

    @classmethod
    def of_campaign(cls, body: Mapping[str, Any]) -> WarmUps:
        """From the body of a campaign's definition. Raises ValueError when it cannot be read."""
        by_domain = _BY_DOMAIN.validate_python(body.get("warm_up", {}))
        return cls(by_domain, str(body.get("timezone", "UTC")))

    def day(self, now: datetime) -> date:
        """Which day it is."""
        return now.astimezone(ZoneInfo(self.zone)).date()

    def limits(self, day: date) -> dict[str, int]:
        """Domain to the most mails of a day, of those that have a limit then."""
        found = {domain: one.most_on(day) for domain, one in self.by_domain.items()}
        return {domain: most for domain, most in found.items() if most is not None}
