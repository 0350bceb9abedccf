"""People and inboxes that stand in one file more than once. Pure, but for what it remembers.

The same person twice with the same details is harmless; with other details nobody can say which
row is right, so the later one is refused. Two people with one address are both kept: a household.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from services.console.supporter_rows import Refusal, Supporter


class SharedInbox(NamedTuple):
    """Two rows about different people with one address, by line."""

    first: int
    second: int


@dataclass(slots=True)
class Duplicates:
    """What the rows so far have said. `shared` and `repeated` are for the report."""

    shared: list[SharedInbox] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    _people: dict[str, tuple[int, str]] = field(default_factory=dict)
    _inboxes: dict[str, tuple[int, str]] = field(default_factory=dict)

    def look(self, supporter: Supporter) -> Supporter | Refusal | None:
        """The row as it came, a refusal, or None when it only repeats an earlier one."""
        person, named_by = self._person(supporter)
        digest = supporter.digest
        known = self._people.get(person)
        if known is not None:
            line, before = known
            if before == digest:
                self.repeated.append(supporter.line)
                return None
            return Refusal(
                supporter.line,
                f"{named_by}: on line {line} already, with other details; keep the right row",
            )
        self._people[person] = (supporter.line, digest)
        if supporter.key is not None:
            first = self._inboxes.setdefault(supporter.key, (supporter.line, person))
            if first[1] != person:
                self.shared.append(SharedInbox(first[0], supporter.line))
        return supporter

    @staticmethod
    def _person(supporter: Supporter) -> tuple[str, str]:
        if supporter.external_id is not None:
            return f"x{supporter.external_id}", "external_id"
        return f"a{supporter.key}", "email"
