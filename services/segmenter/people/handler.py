"""Applies what the topics `supporters` and `events` bring to the people of the store.

One pass per batch, in the caller's transaction: fold, write what changed, emit the suppressions
that follow, then let the live segments see who changed. Nothing here polls, commits or sleeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.segmenter.people.places.areas import Place
from shared.clock import Clock
from shared.loop.delivery import Delivery
from shared.programme.definitions import Segment
from shared.store.sqlite import SqliteUnit


class Places(Protocol):
    """What turns postcodes into places (services.segmenter.people.places.areas.Resolver)."""

    def resolve_many(self, texts: Sequence[str]) -> list[Place]: ...


class People:
    """The people of one store."""

    def __init__(self, places: Places, secret: bytes, partitions: int, clock: Clock) -> None:
        """`secret` keys the address keys; `partitions` is P."""
        raise NotImplementedError

    def handle(self, unit: SqliteUnit, deliveries: Sequence[Delivery]) -> Mapping[str, str]:
        """Apply a batch of `supporters` and `events` records; others are ignored.

        Returns the changed supporters, each with its cause (the id of the last record about it).
        Raises NeverRetry for a record that can never be applied.
        """
        raise NotImplementedError

    def use_segments(self, unit: SqliteUnit, segments: Sequence[Segment], as_of: datetime) -> None:
        """Make these the live segments. A new or edited one is seeded silently; one that is not
        among them any more is forgotten. Nobody enters or leaves by this."""
        raise NotImplementedError

    def sweep(self, unit: SqliteUnit, as_of: datetime, owned: frozenset[int]) -> int:
        """Let time alone move people of the owned partitions; how many moved."""
        raise NotImplementedError
