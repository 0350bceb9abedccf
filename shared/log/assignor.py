"""Who owns which partition number: a pure, sticky, balanced assignment.

One number means partition p of *every* topic of the group, so numbers can never be split between
members. Stays as close to the previous assignment as balance allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def assign(members: Sequence[str], previous: Mapping[int, str], partitions: int) -> dict[int, str]:
    """Number to member, for all numbers from 0 to `partitions` - 1; empty without members.

    Loads differ by at most one. A number moves only when its member is gone or has more than its
    share. Deterministic in its arguments; members are taken in sorted order.
    """
    if not members:
        return {}
    order = sorted(members)
    low, extra = divmod(partitions, len(order))
    held: dict[str, list[int]] = {member: [] for member in order}
    for number in range(partitions):
        member = previous.get(number)
        if member in held:
            held[member].append(number)
    quota = _quotas(order, held, low, extra)
    assignment: dict[int, str] = {}
    for member in order:
        for number in held[member][: quota[member]]:
            assignment[number] = member
    free = [number for number in range(partitions) if number not in assignment]
    for member in order:
        room = quota[member] - min(len(held[member]), quota[member])
        for _ in range(room):
            assignment[free.pop(0)] = member
    return assignment


def _quotas(
    order: Sequence[str], held: Mapping[str, list[int]], low: int, extra: int
) -> dict[str, int]:
    """The share of each member; the members that hold most keep the larger shares."""
    by_load = sorted(order, key=lambda member: (-len(held[member]), member))
    return {member: low + (1 if rank < extra else 0) for rank, member in enumerate(by_load)}
