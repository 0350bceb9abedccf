"""The newest records of a topic, and those that come: reading backwards by time. No Typer here.

The log is read from its beginning, since the port knows no other way; only the newest are kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from shared.errors import NeverRetry
from shared.log.port import Follower
from shared.log.record import Stored
from shared.wire.cloudevents import Envelope, decode

Wanted = Callable[[Envelope], bool]


def newest(
    follower: Follower, limit: int, wanted: Wanted, look: Callable[[Stored], bool]
) -> list[tuple[Stored, Envelope]]:
    """The `limit` newest records up to the end of the log as it is now, oldest first.

    `look` decides cheaply, before decoding, what need not be decoded. What cannot be read is left
    out.
    """
    kept: list[tuple[int, int, int, Stored, Envelope]] = []
    ends = follower.end_offsets()
    while any(follower.next_offsets().get(number, 0) < end for number, end in ends.items()):
        for stored, envelope in _decoded(follower.read(timeout_seconds=0.05), wanted, look):
            entry = (stored.timestamp_ms, stored.partition, stored.offset, stored, envelope)
            if len(kept) < limit:
                heapq.heappush(kept, entry)
            else:
                heapq.heappushpop(kept, entry)
    return [(stored, envelope) for *_, stored, envelope in sorted(kept, key=lambda each: each[:3])]


def everything(
    follower: Follower, look: Callable[[Stored], bool]
) -> Iterator[list[tuple[Stored, Envelope]]]:
    """All records up to the end of the log as it is now, batch by batch, in order of the log."""
    ends = follower.end_offsets()
    while any(follower.next_offsets().get(number, 0) < end for number, end in ends.items()):
        yield list(_decoded(follower.read(timeout_seconds=0.05), lambda _: True, look))


def following(
    follower: Follower, wanted: Wanted, look: Callable[[Stored], bool]
) -> Iterator[tuple[Stored, Envelope]]:
    """What comes from now on, for ever."""
    while True:
        yield from _decoded(follower.read(timeout_seconds=1.0), wanted, look)


def _decoded(
    records: list[Stored], wanted: Wanted, look: Callable[[Stored], bool]
) -> Iterator[tuple[Stored, Envelope]]:
    for stored in records:
        if not look(stored):
            continue
        try:
            envelope = decode(stored)
        except NeverRetry:
            continue
        if wanted(envelope):
            yield stored, envelope
