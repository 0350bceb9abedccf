"""Of whom an instance speaks: the people of the partitions it owns, and of no others.

Numbers stand in the SQL itself: they are ours, few, and the same for as long as nothing moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from shared.log.partitioner import partition_of


@dataclass(frozen=True, slots=True)
class Owned:
    """Partitions, of P there are. An instance that owns all asks nothing about them, so that one
    alone reads as if there were no partitions.
    """

    partitions: AbstractSet[int]
    of: int

    def sql(self, column: str) -> str:
        """The condition that the column is one of them."""
        if len(self.partitions) >= self.of:
            return "1 = 1"
        return among(column, self.partitions)

    def has(self, supporter_id: str) -> bool:
        """Whether the supporter belongs to one of them."""
        return partition_of(supporter_id, self.of) in self.partitions


def among(column: str, numbers: Iterable[int]) -> str:
    """The condition that the column is one of these numbers."""
    listed = ", ".join(str(int(number)) for number in sorted(numbers))
    return f"{column} in ({listed})" if listed else "1 = 0"
