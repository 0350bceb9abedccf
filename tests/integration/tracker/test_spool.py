"""The spool by itself: group commit, its bound, and what becomes of those who wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from services.tracker.forwarding import adopt, read_cursor
from services.tracker.raw_hits import LinkHit, unpack_row
from services.tracker.spool import ROW_HITS, NotKept, Spool, SpoolReader
from shared.errors import WrongStore
from shared.log.embedded.body import EmbeddedLog
from shared.observability.fail_points import FailPoints
from tests.unit.tracker.building import bearer


class Counting(FailPoints):
    """Counts how often each point is reached."""

    def __init__(self) -> None:
        super().__init__("")
        self.reached: list[str] = []
        self.first = threading.Event()

    def reach(self, point: str) -> None:
        self.reached.append(point)
        self.first.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracker" / "spool.db"


@contextmanager
def disk_busy(path: Path) -> Iterator[None]:
    """Nobody else can write to the spool meanwhile."""
    connection = apsw.Connection(str(path))
    connection.execute("begin immediate")
    yield
    connection.execute("rollback")
    connection.close()


def hit(number: int) -> LinkHit:
    return LinkHit(kind="clicked", at_ms=number, bearer=bearer(), link=number, method="GET")


def links(path: Path) -> list[int | None]:
    reader = SpoolReader(path)
    found = [hit for row in reader.read(0, 10_000) for hit in unpack_row(row.value)]
    reader.close()
    return [one.link for one in found if isinstance(one, LinkHit)]


async def begin(spool: Spool, *numbers: int) -> list[asyncio.Task[None]]:
    """Start keeping hits, in order."""
    tasks = [asyncio.ensure_future(spool.keep(hit(n), n)) for n in numbers]
    await asyncio.sleep(0)
    return tasks


async def until_first_commit_begins(points: Counting) -> None:
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, points.first.wait, 10)


def test_hits_that_come_in_during_a_commit_are_committed_together(path: Path) -> None:
    points = Counting()
    spool = Spool(path, points)

    async def run() -> None:
        with disk_busy(path):
            first = await begin(spool, 0)
            await until_first_commit_begins(points)
            rest = await begin(spool, *range(1, 500))
            assert not any(task.done() for task in first + rest)
        await asyncio.gather(*first, *rest)

    asyncio.run(run())
    assert points.reached.count("tracker.spool.after_commit") == 2
    assert links(path) == list(range(500))
    spool.close()


def test_beyond_the_bound_hits_are_refused_but_for_those_that_must_never_be(path: Path) -> None:
    points = Counting()
    spool = Spool(path, points, most_waiting=3)

    async def run() -> None:
        with disk_busy(path):
            waiting = await begin(spool, 0)
            await until_first_commit_begins(points)
            waiting += await begin(spool, 1, 2, 3)
            with pytest.raises(NotKept, match="3 hits wait"):
                await spool.keep(hit(4), 4)
            waiting.append(asyncio.ensure_future(spool.keep(hit(5), 5, always=True)))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    asyncio.run(run())
    assert links(path) == [0, 1, 2, 3, 5]
    spool.close()


def test_what_must_never_be_turned_away_is_also_urgent(path: Path) -> None:
    spool = Spool(path, FailPoints(""))
    asyncio.run(spool.keep(hit(0), 0))
    assert not spool.take_urgent()
    asyncio.run(spool.keep(hit(1), 1, always=True))
    assert spool.take_urgent()
    assert not spool.take_urgent()
    assert not spool.busy()
    spool.close()


def test_a_large_batch_is_several_rows_and_every_hit_is_counted(path: Path) -> None:
    points = Counting()
    spool = Spool(path, points)

    async def run() -> None:
        with disk_busy(path):
            first = await begin(spool, 0)
            await until_first_commit_begins(points)
            rest = await begin(spool, *range(1, ROW_HITS * 2 + 2))
        await asyncio.gather(*first, *rest)

    asyncio.run(run())
    reader = SpoolReader(path)
    assert [row.key for row in reader.read(0, 10)] == [b"1", b"100", b"100", b"1"]
    assert reader.hits_from(0) == ROW_HITS * 2 + 2
    assert reader.hits_from(2) == ROW_HITS + 1
    assert reader.hits_from(4) == 0
    reader.close()
    assert links(path) == list(range(ROW_HITS * 2 + 2))
    spool.close()


def test_a_client_that_goes_away_does_not_take_its_hit_along(path: Path) -> None:
    points = Counting()
    spool = Spool(path, points)

    async def run() -> None:
        with disk_busy(path):
            gone, stays = await begin(spool, 0, 1)
            gone.cancel()
        await stays

    asyncio.run(run())
    assert links(path) == [0, 1]
    spool.close()


def test_closing_commits_what_waits_and_takes_nothing_more(path: Path) -> None:
    spool = Spool(path, FailPoints(""))

    async def run() -> None:
        waiting = await begin(spool, 0, 1, 2)
        await asyncio.get_running_loop().run_in_executor(None, spool.close)
        await asyncio.gather(*waiting)
        with pytest.raises(NotKept, match="stopping"):
            await spool.keep(hit(3), 3)

    asyncio.run(run())
    assert links(path) == [0, 1, 2]


def test_the_spool_keeps_its_id_and_offsets_go_on_after_rows_are_wiped(path: Path) -> None:
    spool = Spool(path, FailPoints(""))

    async def keep(number: int) -> None:
        await spool.keep(hit(number), number)

    for number in range(3):
        asyncio.run(keep(number))
    reader = SpoolReader(path)
    spool_id = reader.spool_id
    assert reader.trim(2) == 2
    assert reader.ends() == (2, 3)
    assert reader.trim(2) == 0
    reader.close()
    asyncio.run(keep(3))
    again = SpoolReader(path)
    assert again.spool_id == spool_id
    assert [row.offset for row in again.read(0, 10)] == [2, 3]
    again.renew_id()
    assert again.spool_id != spool_id
    again.close()
    spool.close()


def spool_with(path: Path, *numbers: int) -> None:
    """A tracker's life in which these hits came in."""
    spool = Spool(path, FailPoints(""))
    for number in numbers:
        asyncio.run(spool.keep(hit(number), number))
    spool.close()


def test_an_older_copy_that_took_hits_before_the_log_could_be_asked_keeps_them_apart(
    path: Path, tmp_path: Path
) -> None:
    """Its next offsets were used before: hits that got them again must be neither lost nor taken
    for the old ones.
    """
    spool_with(path, *range(3))
    log = EmbeddedLog(tmp_path / "log.db", 1)
    publisher = log.publisher("tracker")
    reader = SpoolReader(path)
    publisher.commit([], f"{reader.spool_id}:5")
    for number in (10, 20, 30):  # each a life without a log
        assert reader.doubt() == 3
        spool_with(path, number)
    assert reader.ends()[1] == 6, "the log's cursor would fit by now"
    with pytest.raises(WrongStore, match="older copy"):
        read_cursor(publisher.cursor(), reader.spool_id, 0, reader.doubt())

    adopt(reader, publisher)

    begin = read_cursor(publisher.cursor(), reader.spool_id, 0, reader.doubt())
    found = [hit for row in reader.read(begin, 10) for hit in unpack_row(row.value)]
    assert [one.link for one in found if isinstance(one, LinkHit)] == [10, 20, 30]
    for opened in (publisher, reader, log):
        opened.close()


def test_a_spool_that_the_log_knows_is_in_doubt_no_more(path: Path) -> None:
    spool_with(path, 0)
    reader = SpoolReader(path)
    assert reader.doubt() == 1
    spool_with(path, 1)
    assert reader.confirmed() == 1
    reader.confirm()
    assert reader.doubt() == 2
    reader.close()
