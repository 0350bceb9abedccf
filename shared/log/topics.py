"""The topics of Doorstep: their names, how long each is kept, how many partitions.

Retention here is the embedded default and what `topics plan` compares a cluster with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.log.record import TopicSpec

DAY_MS: Final = 86_400_000

SUPPORTERS: Final = "supporters"
PROGRAMME: Final = "programme"
CONTROL: Final = "control"
AUDIENCE: Final = "audience"
MESSAGES: Final = "messages"
SUPPRESSIONS: Final = "suppressions"
EVENTS: Final = "events"
MEMBERSHIPS: Final = "memberships"
DEAD_LETTERS: Final = "dead-letters"

TOPICS: Final = (
    TopicSpec(SUPPORTERS, retention_ms=7 * DAY_MS),
    TopicSpec(PROGRAMME, compacted=True, partitions=1),
    TopicSpec(CONTROL, retention_ms=365 * DAY_MS),
    TopicSpec(AUDIENCE, retention_ms=14 * DAY_MS),
    TopicSpec(MESSAGES, retention_ms=14 * DAY_MS),
    TopicSpec(SUPPRESSIONS, compacted=True),
    TopicSpec(EVENTS, retention_ms=None),
    TopicSpec(MEMBERSHIPS, retention_ms=365 * DAY_MS),
    TopicSpec(DEAD_LETTERS, retention_ms=7 * DAY_MS),
)

READS: Final[Mapping[str, tuple[str, ...]]] = {
    "segmenter": (SUPPORTERS, EVENTS, CONTROL),
    "renderer": (AUDIENCE,),
    "sender": (MESSAGES, EVENTS),
}
"""Consumer group to the topics whose positions it keeps. Tables are read without a group."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic at the brokers: what is wanted, and how what is there differs.

    `found`: its partitions, None when it is missing. `copies`: its least replicated partition's.
    `drift`: name of a setting to (what it is, what is wanted).
    """

    name: str
    at_brokers: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    found: int | None = None
    drift: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    copies: int | None = None

    @property
    def missing(self) -> bool:
        return self.found is None

    @property
    def refused(self) -> bool:
        """Whether it has another number of partitions, which nothing here will change."""
        return self.found is not None and self.found != self.partitions


class TopicAdmin(Protocol):
    """Who looks after the topics of a cluster. The embedded log needs nobody."""

    def brokers(self) -> int:
        """How many brokers there are."""
        ...

    def shortest_memory_minutes(self) -> int | None:
        """After how long without members a group's positions are forgotten, at the least patient
        broker; None when the brokers do not say.
        """
        ...

    def plan(self) -> list[TopicPlan]:
        """Every topic, with what is there."""
        ...

    def create(self, plans: Sequence[TopicPlan]) -> None:
        """Make these topics and wait until the brokers know them."""
        ...

    def configure(self, plans: Sequence[TopicPlan]) -> None:
        """Set what differs."""
        ...

    def close(self) -> None: ...
