"""The topics of Doorstep: their names, how long each is kept, how many partitions.

Retention here is the embedded default and what `topics plan` compares a cluster with.
"""

from __future__ import annotations

from typing import Final

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
