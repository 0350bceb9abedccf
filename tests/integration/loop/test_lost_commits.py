"""A store that is lost at a commit: nobody knows whether it was made, and nothing is done twice.

The same when the server goes away in between, for a while or for good.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.errors import Fenced, RetryLater
from shared.log.port import Membership
from shared.log.record import Record
from shared.log.topics import EVENTS, SUPPORTERS
from shared.loop.loop import Loop
from shared.loop.relay import Relay
from shared.loop.work import StatefulWork
from shared.observability.fail_points import FailPoints
from shared.observability.metrics import Metrics
from shared.settings import LoopSettings
from shared.store.port import Unit
from shared.store.postgres.store import PostgresStore
from tests.contract.log.narration import until
from tests.cutting_proxy import Cut, CuttingProxy
from tests.integration.loop.copying_service import DDL, PARTITIONS, Stateful, open_log
from tests.integration.loop.test_loop import change, copied, feed
from tests.real_postgres import PostgresServer

RECORDS = 40
ALL = Counter({str(number): 1 for number in range(RECORDS)})


class Copying:
    """The copying service on PostgreSQL, in a thread."""

    def __init__(self, folder: Path, dsn: str, retry_seconds: float = 60) -> None:
        self.folder = folder
        clock, metrics, fail_points = SystemClock(), Metrics("copy"), FailPoints("")
        self._log = open_log(folder)
        self.store = PostgresStore(dsn, "copy", DDL)
        member = self._log.join("copy", [SUPPORTERS], lease_seconds=5)
        relay = Relay("copy", (SUPPORTERS,), member, self.store, fail_points, metrics)
        work: StatefulWork[Unit] = StatefulWork(
            "copy",
            (SUPPORTERS,),
            member,
            self.store,
            Stateful(folder),
            relay,
            clock,
            fail_points,
            metrics,
        )
        settings = LoopSettings(poll_seconds=0.02, max_records=7, retry_seconds=retry_seconds)
        self.loop = Loop(
            "copy", [SUPPORTERS], member, work, settings, clock, metrics, rewind=work.rewind
        )
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def published(self) -> int:
        return sum(self._log.end_offsets(EVENTS).values())

    def stop(self) -> None:
        self.loop.stop()
        self._thread.join()
        self.store.close()
        self._log.close()

    def _run(self) -> None:
        try:
            self.loop.run()
        except RetryLater as error:
            self.failure = error


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(postgres_server.port) as running:
        yield running


@pytest.mark.parametrize("after", range(10))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_without_an_answer_is_neither_lost_nor_made_twice(
    tmp_path: Path, postgres_server: PostgresServer, proxy: CuttingProxy, when: Cut, after: int
) -> None:
    """At each of the first commits: of where reading begins, and of batches."""
    feed(tmp_path, [change(n) for n in range(RECORDS)])
    service = Copying(tmp_path, proxy.through(postgres_server.dsn()))
    proxy.cut_at_commit(when, after=after)

    service.start()

    until(lambda: service.published() >= RECORDS, "all to be copied")
    service.stop()
    assert (service.failure, proxy.cuts) == (None, 1)
    assert copied(tmp_path) == ALL


def test_a_server_that_restarts_again_and_again_is_survived(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    service = Copying(tmp_path, postgres_server.dsn())
    service.start()
    for number in range(RECORDS):
        feed(tmp_path, [change(number)])
        if number % 10 == 5:
            postgres_server.restart("immediate" if number % 20 == 5 else "fast")
    until(lambda: service.published() >= RECORDS, "all to be copied")
    service.stop()
    assert service.failure is None
    assert copied(tmp_path) == ALL


def test_a_server_that_stays_away_ends_the_service_after_a_while(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    service = Copying(tmp_path, postgres_server.dsn(), retry_seconds=1)
    service.start()
    until(service.loop.ready, "the loop to turn")
    postgres_server.stop("immediate")
    until(lambda: service.failure is not None, "the service to give up")
    assert service.loop.healthy()
    postgres_server.start()
    service.stop()
    assert service.failure is not None
    assert service.failure.exit_code == 75
    assert "1 s in vain" in str(service.failure)


def test_a_service_is_stopped_in_order_while_the_server_is_away(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    service = Copying(tmp_path, postgres_server.dsn())
    service.start()
    until(service.loop.ready, "the loop to turn")
    postgres_server.stop("immediate")
    feed(tmp_path, [change(n) for n in range(RECORDS)])
    service.stop()
    postgres_server.start()
    assert service.failure is None
    assert sum(copied(tmp_path).values()) == 0


def test_what_a_late_comer_takes_is_taken_back_by_whom_the_group_gave_it_to(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """One that stood still after it was assigned, and takes when the group has long moved on."""
    dsn = postgres_server.dsn()
    service = Copying(tmp_path, dsn)
    feed(tmp_path, [change(n) for n in range(RECORDS // 2)])
    service.start()
    until(lambda: service.published() >= RECORDS // 2, "the first half to be copied")
    late = PostgresStore(dsn, "copy", DDL)
    for number in range(PARTITIONS):
        late.take(number)

    feed(tmp_path, [change(n) for n in range(RECORDS // 2, RECORDS)])

    until(lambda: service.published() >= RECORDS, "the second half to be copied")
    service.stop()
    assert late.overtaken() == frozenset(range(PARTITIONS))
    late.close()
    assert service.failure is None
    assert copied(tmp_path) == ALL


def test_who_has_left_the_group_takes_nothing_back(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    dsn = postgres_server.dsn()
    log = open_log(tmp_path)
    store, other = PostgresStore(dsn, "copy", DDL), PostgresStore(dsn, "copy", DDL)
    member = log.join("copy", [SUPPORTERS], lease_seconds=5)
    fail_points, metrics = FailPoints(""), Metrics("copy")
    relay = Relay("copy", (SUPPORTERS,), member, store, fail_points, metrics)
    work: StatefulWork[Unit] = StatefulWork(
        "copy",
        (SUPPORTERS,),
        member,
        store,
        Stateful(tmp_path),
        relay,
        SystemClock(),
        fail_points,
        metrics,
    )
    polled = member.poll(0.1, 1)
    work.assigned(polled.assigned)
    taken = min(polled.assigned)
    with store.unit() as unit:
        unit.emit(taken, Record(EVENTS, taken, b"1", b"1"))
    other.take(taken)
    stale = Membership(polled.membership.member_id, polled.membership.generation - 1)

    with pytest.raises(Fenced):
        work.turn(stale)

    assert store.overtaken() == {taken}
    with pytest.raises(Fenced, match="were taken in the store"):
        relay.publish(polled.membership)
    assert sum(log.end_offsets(EVENTS).values()) == 0, "its new owner publishes it"
    for each in (member, log, store, other):
        each.close()
