"""Words the contract is told in: records, polling until something is there, who owns what."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from shared.log.port import Follower, Member, Polled
from shared.log.record import Position, Record, Stored, TopicPartition

DEADLINE = 60.0


def record(text: str, partition: int = 0, topic: str = "in", key: str = "k") -> Record:
    return Record(topic, partition, key.encode(), text.encode())


def texts(records: Sequence[Stored]) -> list[str]:
    return [(stored.value or b"").decode() for stored in records]


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"in vain waited for {what}"
        time.sleep(0.005)


def poll_records(member: Member, most: int = 100) -> Polled:
    """Poll until records come."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        polled = member.poll(0.2, most)
        if polled.records:
            return polled
    raise AssertionError("no records came")


def settle(members: Sequence[Member], numbers: int) -> None:
    """Poll all members in turn until together they own everything, each number once.

    Records that come along are put back.
    """
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        quiet = True
        for member in members:
            polled = member.poll(0.02, 1)
            quiet &= not (polled.assigned or polled.revoking or polled.lost)
            for place, records in polled.records.items():
                member.seek(place, records[0].offset)
        owned = [member.owned() for member in members]
        loads = [len(numbers_) for numbers_ in owned]
        whole = sum(loads) == numbers and len(frozenset().union(*owned)) == numbers
        if quiet and whole and max(loads) - min(loads) <= 1:
            return
    raise AssertionError(f"the group did not settle: {[sorted(m.owned()) for m in members]}")


def positions_after(polled: Polled, metadata: str = "") -> dict[TopicPartition, Position]:
    return {
        place: Position(records[-1].offset + 1, metadata)
        for place, records in polled.records.items()
    }


def read_all(follower: Follower) -> list[Stored]:
    """What there is, up to the end of the log as it is now."""
    found: list[Stored] = []
    ends = follower.end_offsets()
    until_then = time.monotonic() + DEADLINE
    while any(follower.next_offsets().get(number, 0) < end for number, end in ends.items()):
        found.extend(follower.read(timeout_seconds=0.05))
        assert time.monotonic() < until_then, (follower.next_offsets(), ends)
    return found
