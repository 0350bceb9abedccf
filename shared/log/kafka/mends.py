"""Mends of kafka-python, found by the contract suite (3.0.12; the version is pinned).

- A join that the brokers complete between two of our polls was thrown away and begun anew, so that
  a group whose members poll in short turns could rebalance for ever. It is taken up instead.
- A join that was begun because the topics had just become known was forgotten when it took longer
  than the poll: with no heartbeat until it is taken up, the member was put out of the group and
  never heard of it. What is under way is seen through.
- The second round of a cooperative rebalance, which hands over what a member must give up, began
  within the same poll that learned of it. It waits until the member's owner has let go.
- A member that was put out of the group while it joined anew, as one frozen between two rounds,
  was not told that its numbers were lost, nor that those it got back were new: it went on from what
  it knew of them, though another had owned them meanwhile. It is told.
- A question for saved positions that ran out of time was kept, and its old answer given to the
  next who asked the same. Each question is asked anew.
- Records of a partition that was paused half read are parked, and come back only while no other
  partition has ever been read since: it stood still for ever. They are dropped and fetched anew.
- Who asked a broker for offsets that lives and is no longer the leader, asked it again and again
  and never who is: a client that only asks for the ends of topics stood still until the five
  minutes of its metadata were over. The brokers are asked for the leaders first.
- A producer whose coordinator could not be reached at once, as after a broker's death, asked who is
  the coordinator now and lost what it had wanted to tell it: it never committed, and never said so.
  It keeps it, and asks again until a broker has taken over.
- A client that finds no broker gives up while it is being made, and left a thread and its sockets
  running that nobody could close: an outage of hours ate up the files a process may open. What
  does not come about is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, Final

from kafka import errors
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.net.compat import KafkaNetClient

ASK_AGAIN_MS: Final = 100


class _Unread:
    """A join under way or done, that nobody has taken up yet."""

    is_done = False

    def __init__(self, future: Any) -> None:
        self._future = future

    def add_callback(self, told: Callable[..., None]) -> None:
        self._future.add_callback(told)

    def add_errback(self, told: Callable[..., None]) -> None:
        self._future.add_errback(told)

    def __await__(self) -> Generator[Any, Any, Any]:
        found: Generator[Any, Any, Any] = self._future.__await__()
        return found


class PatientCoordinator(ConsumerCoordinator):  # type: ignore[misc]  # untyped base
    """A coordinator with these mends. `holding` says that the next round has to wait."""

    holding: Callable[[], bool]

    @property
    def _join_task(self) -> _Unread | None:
        found: _Unread | None = self.__dict__.get("_join_under_way")
        return found

    @_join_task.setter
    def _join_task(self, future: Any) -> None:
        self.__dict__["_join_under_way"] = None if future is None else _Unread(future)

    @property
    def joining(self) -> bool:
        """Whether a join is under way."""
        return self._join_task is not None

    def fetch_committed_offsets(self, partitions: Any, timeout_ms: float | None = None) -> Any:
        self._offset_fetch_futures.clear()
        return super().fetch_committed_offsets(partitions, timeout_ms=timeout_ms)

    def reset_generation(self, *arguments: Any) -> None:
        super().reset_generation(*arguments)
        self.rejoining = False  # so that the next round begins with telling what is lost

    def need_rejoin(self) -> bool:
        return not self.holding() and (self.joining or bool(super().need_rejoin()))


class FindingFetcher(Fetcher):  # type: ignore[misc]  # untyped base
    """A fetcher that looks for the leader when the one it asked for offsets is not."""

    async def _send_list_offsets_requests(self, timestamps: Any) -> tuple[Any, Any]:
        found, elsewhere = await super()._send_list_offsets_requests(timestamps)
        if elsewhere:
            raise errors.StaleMetadata  # the caller asks for the leaders, and then again
        return found, elsewhere


class AskingClient(KafkaNetClient):  # type: ignore[misc]  # untyped base
    """What a producer sends by. A coordinator that cannot be reached is "not ready", for which the
    sender has an answer; an error is one that it forgets the request over.
    """

    def await_ready(self, node_id: Any, timeout_ms: float = 30_000) -> bool:
        try:
            return bool(super().await_ready(node_id, timeout_ms=timeout_ms))
        except errors.KafkaConnectionError:
            self.poll(timeout_ms=ASK_AGAIN_MS)  # else the brokers are asked without a pause
            return False


def opened(
    kind: Callable[..., Any], *, kafka_client: Callable[..., Any] = KafkaNetClient, **settings: Any
) -> Any:
    """A consumer, producer or admin client. One that fails to be made leaves nothing open."""
    begun: list[Any] = []

    def network(**configs: Any) -> Any:
        begun.append(kafka_client(**configs))
        return begun[-1]

    try:
        return kind(**settings, kafka_client=network)
    except BaseException:
        for client in begun:
            with suppress(Exception):  # it may be in any state
                client.close()
        raise


def make_finding(consumer: Any) -> Any:
    """Mend the fetcher of a consumer that has not asked yet; returns the consumer."""
    consumer._fetcher.__class__ = FindingFetcher
    return consumer


def make_patient(consumer: Any, holding: Callable[[], bool]) -> PatientCoordinator:
    """Mend the coordinator of a consumer that has not joined yet; returns it."""
    coordinator = consumer._coordinator
    coordinator.__class__ = PatientCoordinator
    coordinator.holding = holding
    patient: PatientCoordinator = coordinator
    return patient


def unpark(consumer: Any, places: Iterable[Any]) -> None:
    """Before partitions are resumed: let them be fetched again from where reading stands."""
    parked = consumer._fetcher._paused_partition_records
    for place in places:
        records = parked.pop(place, None)
        if records is not None:
            records.drain()
