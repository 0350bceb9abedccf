"""Transactions: records and positions together or not at all, in bounded time.

kafka-python waits for the coordinator without a timeout; a lost one would hold the caller for ever.
So the waits here are ours, on the results of its transaction manager (hence the private names; the
version is pinned). A producer whose last transaction ended in doubt is thrown away: the next one
takes up the same transactional id, which ends at the broker whatever was left open, and only then
is it known what stands in the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaProducer, errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

from shared.errors import Fenced, Misconfigured
from shared.log.kafka.client import REQUEST_MS, Names, meaning
from shared.log.kafka.mends import opened
from shared.log.record import Record
from shared.observability.logs import Journal

IN_FLIGHT_BYTES: Final = 8_000_000
"""The client has no back-pressure: so much is handed to it before it is flushed."""
COMMIT_SECONDS: Final = REQUEST_MS / 1000 + 15
CLOSE_SECONDS: Final = 2.0
TAKEN_OVER: Final = (errors.ProducerFencedError, errors.InvalidProducerEpochError)


class TakenOver(Fenced):
    """The transactional id belongs to another producer now, or its transaction was timed out."""


class Transactions:
    """The transactional producer of one id. Used by one thread at a time."""

    def __init__(self, settings: Mapping[str, Any], transactional_id: str, names: Names) -> None:
        self._settings = {**settings, "transactional_id": transactional_id}
        self._names = names
        self._producer: Any = None
        self._journal = Journal("kafka.transactions")

    def begin_life(self) -> None:
        """End what an earlier holder of the id left open; fences it. Raises RetryLater."""
        self._ready()

    def run(
        self,
        outputs: Sequence[Record],
        positions: Mapping[KafkaPartition, OffsetAndMetadata],
        group: ConsumerGroupMetadata | None,
    ) -> None:
        """One transaction:

        1. A producer that is in no doubt. 2. The positions, first: who is not of the group any more
        is refused before a record is written. 3. The records, so many bytes at a time. 4. Commit.

        Raises Fenced when the group refuses us, TakenOver when another producer has the id,
        RetryLater when it did not work out or is not known to have: then read the positions again.
        """
        producer = self._ready()
        deadline = time.monotonic() + COMMIT_SECONDS
        try:
            producer.begin_transaction()
            if positions:
                self._wait(
                    producer,
                    lambda: producer._transaction_manager.send_offsets_to_transaction(
                        dict(positions), group
                    ),
                    deadline,
                )
            self._send(producer, outputs, deadline)
            self._wait(producer, producer._transaction_manager.begin_commit, deadline)
        except errors.KafkaError as error:
            self._after_failure(producer, error)
            if isinstance(error, TAKEN_OVER):
                raise TakenOver(f"the transactional id was taken over: {error}") from error
            raise meaning(error, "commit") from error
        except BaseException:
            self.drop()
            raise

    def settle(self) -> None:
        """Make sure that nothing of an earlier transaction is in doubt. Raises RetryLater."""
        if self._producer is None:
            self._ready()

    def drop(self) -> None:
        """Throw the producer away, whatever it is doing."""
        producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer, 0.0)

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer, CLOSE_SECONDS)

    def _ready(self) -> Any:
        if self._producer is None:
            producer: Any = None
            try:
                producer = opened(KafkaProducer, **self._settings)
                producer.init_transactions()
            except errors.KafkaError as error:
                if producer is not None:
                    _close(producer, 0.0)
                raise meaning(error, "opening a producer") from error
            self._producer = producer
        return self._producer

    def _send(self, producer: Any, outputs: Sequence[Record], deadline: float) -> None:
        futures: list[Any] = []
        handed = 0
        for record in outputs:
            futures.append(
                producer.send(
                    self._names.topic(record.topic),
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms or None,
                )
            )
            handed += len(record.value or b"")
            if handed > IN_FLIGHT_BYTES:
                self._flush(producer, futures, deadline)
                handed = 0
        self._flush(producer, futures, deadline)

    def _flush(self, producer: Any, futures: list[Any], deadline: float) -> None:
        """Until the brokers have what was handed over. That the flush returned is not success."""
        if not futures:
            return
        producer.flush(timeout=max(0.1, deadline - time.monotonic()))
        for future in futures:
            future.get(timeout=0)
        futures.clear()

    def _wait(self, producer: Any, begin: Callable[[], Any], deadline: float) -> None:
        result = begin()
        producer._sender.wakeup()
        if not result.wait(timeout_ms=max(100, (deadline - time.monotonic()) * 1000)):
            raise errors.KafkaTimeoutError("the coordinator did not answer in time")

    def _after_failure(self, producer: Any, error: errors.KafkaError) -> None:
        """Abort what can be aborted; a producer in any other state is thrown away."""
        manager = producer._transaction_manager
        abortable = not isinstance(error, (*TAKEN_OVER, errors.KafkaTimeoutError))
        if abortable and not manager.has_fatal_error() and not manager.is_completing():
            try:
                self._wait(producer, manager.begin_abort, time.monotonic() + COMMIT_SECONDS)
            except (errors.KafkaError, RuntimeError) as another:
                self._journal.warning("kafka.abort_failed", reason=str(another))
            else:
                return
        self.drop()


def refuse_too_large(records: Sequence[Record], most_bytes: int) -> None:
    """Raises Misconfigured for a record that no broker of ours would take."""
    for record in records:
        if len(record.value or b"") > most_bytes:
            raise Misconfigured(
                f"{record.topic}: a record of {len(record.value or b''):,} bytes is larger than "
                f"the {most_bytes:,} that a topic takes"
            )


def _close(producer: Any, seconds: float) -> None:
    with suppress(Exception):  # it may be in any state; its thread must end all the same
        producer.close(timeout=seconds)
    with suppress(Exception):
        producer._sender.force_close()
