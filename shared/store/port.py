"""What the loop and the relay ask of a store, whatever body it has."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from shared.log.record import Record, TopicPartition
from shared.store.database import Database


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record that waits to be published for an owned partition. `seq` rises without gaps."""

    partition: int
    seq: int
    record: Record


class Unit(Protocol):
    """One open store transaction. Handlers write their state beside it; none reaches the log."""

    @property
    def connection(self) -> Database:
        """What handlers write their own state through."""
        ...

    def check(self, *partitions: int) -> None:
        """Raises Fenced when one of the numbers is not owned by this instance (any more).

        From here to the end of the unit nobody else can take them.
        """
        ...

    def emit(self, partition: int, record: Record) -> None:
        """Put a record into the outbox of an owned partition number."""
        ...

    def advance(self, place: TopicPartition, old: int | None, new: int) -> None:
        """Move the input position from `old` (None: there was none) to `new`.

        Raises Fenced when the partition's epoch or old position is not what this owner last saw.
        """
        ...

    def trim(self, partition: int, through_seq: int) -> None:
        """Forget published outbox rows."""
        ...

    def part(self) -> AbstractContextManager[None]:
        """A savepoint: what is written inside is undone alone when the block raises."""
        ...


UnitOut_co = TypeVar("UnitOut_co", bound=Unit, covariant=True)


class Store(Protocol[UnitOut_co]):
    """The store of one instance of a stateful service. Used by one thread; see `sibling`.

    Raises StoreUnavailable wherever the store cannot be reached; also out of a unit's end, and then
    nobody knows whether it was committed.
    """

    @property
    def connection(self) -> Database:
        """For questions of this thread outside of units."""
        ...

    def sibling(self) -> Self:
        """The same store for another thread of this process. Units of siblings take turns."""
        ...

    def reader(self) -> Database:
        """A connection for questions of another thread; it cannot write."""
        ...

    @property
    def store_id(self) -> str:
        """Random, made with the store; a copy or a new file shows as another store."""
        ...

    def take(self, partition: int) -> None:
        """Own a partition number from now on: raises its epoch, fencing an older owner."""
        ...

    def drop(self, partition: int) -> None:
        """Own it no more."""
        ...

    def owned(self) -> frozenset[int]:
        """The numbers taken and not dropped."""
        ...

    def overtaken(self) -> frozenset[int]:
        """Numbers among `owned` that another instance has taken since."""
        ...

    def positions(self, partition: int) -> dict[TopicPartition, int]:
        """The next offset of every input place of the number."""
        ...

    def unit(self) -> AbstractContextManager[UnitOut_co]:
        """A transaction: committed when the block ends, rolled back when it raises.

        What a unique index refuses, and no part has kept in, ends as Conflict where another
        instance may have been first, and as StoreRefuses where there is none.
        """
        ...

    def pending(self, partition: int, after_seq: int, limit: int) -> list[OutboxRow]:
        """Outbox rows with a seq above `after_seq`, in order."""
        ...

    def last_seqs(self) -> dict[int, int]:
        """Number to the seq of its newest outbox row, for every number ever owned."""
        ...

    def last_seq(self, partition: int) -> int:
        """The seq of the newest outbox row ever written for the number; 0 before the first."""
        ...

    def close(self) -> None: ...
