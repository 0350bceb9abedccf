"""Publishing on Kafka from a store of one's own: the cursor is the metadata of a position.

The position belongs to a group that nobody joins; it is committed in the same transaction as the
records. Opening a publisher takes over its transactional id, which fences an older holder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

from shared.errors import Fenced
from shared.log.kafka.client import LARGEST_RECORD, REQUEST_MS, Names, translated
from shared.log.kafka.mends import opened
from shared.log.kafka.transactions import TakenOver, Transactions, refuse_too_large
from shared.log.record import Record

CURSOR_TOPIC = "events"


class KafkaPublisher:
    """See `shared.log.port.Publisher`. Used by one thread."""

    def __init__(
        self,
        names: Names,
        consumer: Mapping[str, Any],
        transactions: Transactions,
        name: str,
        cursor_topic: str = CURSOR_TOPIC,
    ) -> None:
        self._name, self._transactions = name, transactions
        self._group = names.group(f"publisher-{name}")
        self._place = KafkaPartition(names.topic(cursor_topic), 0)
        self._fenced = False
        try:
            transactions.begin_life()
            with translated(f"publisher {name}"):
                self._consumer: Any = opened(KafkaConsumer, **consumer, group_id=self._group)
        except BaseException:
            transactions.close()
            raise

    def cursor(self) -> str:
        """What the last transaction left, once nothing of ours is in doubt any more."""
        self._check()
        self._transactions.settle()
        with translated(f"publisher {self._name}"):
            found = self._consumer.committed(self._place, metadata=True, timeout_ms=REQUEST_MS)
        return "" if found is None else str(found.metadata or "")

    def commit(self, outputs: Sequence[Record], cursor: str) -> None:
        self._check()
        refuse_too_large(outputs, LARGEST_RECORD)
        try:
            self._transactions.run(
                outputs,
                {self._place: OffsetAndMetadata(0, cursor, -1)},
                ConsumerGroupMetadata(self._group),
            )
        except TakenOver as error:
            self._fenced = True
            raise Fenced(f"another publisher called {self._name!r} has taken over") from error

    def close(self) -> None:
        self._transactions.close()
        with suppress(errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=2_000)

    def _check(self) -> None:
        if self._fenced:
            raise Fenced(f"another publisher called {self._name!r} has taken over")
