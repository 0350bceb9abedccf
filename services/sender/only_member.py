"""The only member of the senders' group, for as long as a rebuilding takes.

It polls, so that the brokers do not take it for dead, and never reads. What another member or an
outage takes from it comes back: a sender that is started meanwhile ends by itself, since the log
names no store that it could have.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from shared.errors import Fenced, Misconfigured, PositionOutsideLog, RetryLater
from shared.log.port import Log, Membership, Polled
from shared.log.record import Position, TopicPartition
from shared.settings import Settings
from shared.store.port import Store, Unit

KEEP_SECONDS: Final = 0.5
POLL_SECONDS: Final = 0.2
SPARE_SECONDS: Final = 10.0
TRIES: Final = 5


class OnlyMember:
    """Owns every number, in the log and in the store. Used by one thread."""

    def __init__(
        self, log: Log, store: Store[Unit], group: str, topics: Sequence[str], settings: Settings
    ) -> None:
        """Raises Misconfigured while another member of the group is alive."""
        self._store, self._everything = store, frozenset(range(settings.partitions))
        self._patience = 2 * settings.loop.lease_seconds + SPARE_SECONDS
        self._member = log.join(group, topics, lease_seconds=settings.loop.lease_seconds)
        self._next_poll = 0.0
        try:
            self._own()
        except BaseException:
            self._member.close()
            raise

    def keep(self) -> None:
        """Called often, from all that takes long. Raises Misconfigured as above."""
        if time.monotonic() < self._next_poll:
            return
        polled = self._poll(0.0)
        if polled is not None and not self._owns_all(polled):
            self._own()
        self._next_poll = time.monotonic() + KEEP_SECONDS

    def commit(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Write the group's positions. Raises RetryLater when it is not known whether they are."""
        for tries_left in reversed(range(TRIES)):
            try:
                self._member.commit(self._own(), [], positions)
            except Fenced:
                if not tries_left:
                    raise
            else:
                return

    def close(self) -> None:
        """Leave the group."""
        self._member.close()

    def _own(self) -> Membership:
        until = time.monotonic() + self._patience
        while (polled := self._poll(POLL_SECONDS)) is None or not self._owns_all(polled):
            if time.monotonic() > until:
                raise Misconfigured(
                    "another sender is a member of the group: stop every sender, then restore"
                )
        self._member.pause(self._everything)
        for number in sorted(self._everything):
            self._store.take(number)
        return polled.membership

    def _owns_all(self, polled: Polled) -> bool:
        return self._member.owned() - polled.revoking == self._everything

    def _poll(self, seconds: float) -> Polled | None:
        """None when the log cannot say; that a position is too old is why we are here."""
        with suppress(PositionOutsideLog, RetryLater):
            return self._member.poll(seconds, 1)
        return None
