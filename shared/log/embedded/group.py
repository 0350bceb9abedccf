"""Group membership in the file: joining, leases, the target assignment, who owns what.

Every change happens in one `BEGIN IMMEDIATE` that also bumps the generation and recomputes the
target with the assignor. Ownership follows in two steps, as with Kafka's cooperative protocol: the
old owner gives a number up at its next poll, only then the new one takes it. A member whose lease
ran out loses its numbers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from shared.errors import Misconfigured
from shared.log.assignor import assign


@dataclass(frozen=True, slots=True)
class Standing:
    """What the file says of one member: its generation, what it owns and what it should own."""

    generation: int
    member: bool
    owned: frozenset[int]
    target: frozenset[int]


def enter(
    connection: apsw.Connection,
    group: str,
    member_id: str,
    topics: Sequence[str],
    lease_until: float,
    partitions: int,
) -> None:
    """Add the member and rebalance. Raises Misconfigured when the group reads other topics."""
    wanted = ",".join(topics)
    connection.execute("insert into grp values (?, 0, ?) on conflict do nothing", (group, wanted))
    (kept,) = next(connection.execute("select topics from grp where name = ?", (group,)))
    if kept != wanted:
        alone = not next(connection.execute("select count(*) from member where grp = ?", (group,)))[
            0
        ]
        if not alone:
            raise Misconfigured(
                f"the group {group!r} reads {kept}; this member wants {wanted}: "
                "stop the members of the older version first"
            )
        connection.execute("update grp set topics = ? where name = ?", (wanted, group))
    connection.execute("insert into member values (?, ?, ?)", (group, member_id, lease_until))
    rebalance(connection, group, partitions)


def remove(
    connection: apsw.Connection, group: str, member_ids: Sequence[str], partitions: int
) -> None:
    """Take members out, free their numbers, rebalance."""
    for member_id in member_ids:
        connection.execute("delete from member where grp = ? and member_id = ?", (group, member_id))
        connection.execute("delete from owner where grp = ? and member_id = ?", (group, member_id))
    rebalance(connection, group, partitions)


def rebalance(connection: apsw.Connection, group: str, partitions: int) -> None:
    """A new generation with a new target."""
    connection.execute("update grp set generation = generation + 1 where name = ?", (group,))
    members = [
        member for (member,) in connection.execute(
            "select member_id from member where grp = ?", (group,)
        )
    ]  # fmt: skip
    previous = dict(
        connection.execute("select partition, member_id from target where grp = ?", (group,))
    )
    connection.execute("delete from target where grp = ?", (group,))
    connection.executemany(
        "insert into target values (?, ?, ?)",
        [(group, number, member) for number, member in
         assign(members, previous, partitions).items()],
    )  # fmt: skip


def dead_members(
    connection: apsw.Connection, group: str, now: float, lease_seconds: float
) -> list[str]:
    """Members whose lease ran out, and those of before a reboot (the clock began again)."""
    return [
        member for (member,) in connection.execute(
            "select member_id from member where grp = ?"
            " and (lease_until < ? or lease_until > ?)",
            (group, now, now + 10 * lease_seconds),
        )
    ]  # fmt: skip


def standing(connection: apsw.Connection, group: str, member_id: str) -> Standing:
    """What the file says of this member now."""
    generation = 0
    for (value,) in connection.execute("select generation from grp where name = ?", (group,)):
        generation = value
    alive = bool(
        next(
            connection.execute(
                "select count(*) from member where grp = ? and member_id = ?", (group, member_id)
            )
        )[0]
    )
    owned, target = (
        frozenset(
            number for (number,) in connection.execute(
                f"select partition from {table} where grp = ? and member_id = ?",
                (group, member_id),
            )
        )
        for table in ("owner", "target")
    )  # fmt: skip
    return Standing(generation, alive, owned, target)


def take_free(
    connection: apsw.Connection, group: str, member_id: str, wanted: frozenset[int]
) -> frozenset[int]:
    """Take those of `wanted` that nobody owns; returns what was taken."""
    taken = set()
    for number in sorted(wanted):
        connection.execute(
            "insert into owner select name, ?, ?, generation from grp where name = ?"
            " on conflict do nothing",
            (number, member_id, group),
        )
        if connection.changes():
            taken.add(number)
    return frozenset(taken)


def give_up(
    connection: apsw.Connection, group: str, member_id: str, numbers: frozenset[int]
) -> None:
    """Free numbers that this member owned."""
    connection.executemany(
        "delete from owner where grp = ? and member_id = ? and partition = ?",
        [(group, member_id, number) for number in sorted(numbers)],
    )


def owns(
    connection: apsw.Connection, group: str, member_id: str, generation: int, number: int
) -> bool:
    """Whether the member has owned the number without a break since `generation`."""
    for owner, since in connection.execute(
        "select member_id, since_generation from owner where grp = ? and partition = ?",
        (group, number),
    ):
        return bool(owner == member_id and since <= generation)
    return False
