"""Groups of several processes: sharing, dying, freezing, thawing. Nothing twice, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.errors import Fenced, Misconfigured
from shared.log.port import Log, Member, Polled
from shared.log.record import Position, Record, TopicPartition
from tests.contract.log.conftest import PARTITIONS
from tests.contract.log.narration import (
    poll_records,
    positions_after,
    read_all,
    record,
    settle,
    texts,
    until,
)

ROOT = Path(__file__).resolve().parents[3]
LEASE = 1.5


class Process:
    """A member in a process of its own, and what it said."""

    def __init__(self, body: str, folder: Path, name: str) -> None:
        self.said: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.log.group_process",
             body, str(folder), name, str(LEASE)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(json.loads(line))

    def owned(self) -> set[int]:
        newest = [line["owned"] for line in list(self.said) if "owned" in line]
        return set(newest[-1]) if newest else set()

    def signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def start(body: str, tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    started: list[Process] = []

    def begin(name: str) -> Process:
        started.append(Process(body, tmp_path, name))
        return started[-1]

    yield begin
    for process in started:
        process.end()


def copied(log: Log) -> Counter[str]:
    """What stands on `out`, without the name of who copied it."""
    follower = log.follow("out")
    found = Counter(text.partition(":")[2] for text in texts(read_all(follower)))
    follower.close()
    return found


def feed(log: Log, first: int, count: int) -> None:
    for n in range(first, first + count, 10):
        log.append([record(str(i), i % PARTITIONS) for i in range(n, min(n + 10, first + count))])


def each_once(count: int) -> Counter[str]:
    return Counter({str(n): 1 for n in range(count)})


def test_two_members_share_the_numbers_of_all_topics_alike(log: Log) -> None:
    one = log.join("g", ["in", "more"], lease_seconds=3)
    two = log.join("g", ["in", "more"], lease_seconds=3)
    settle([one, two], PARTITIONS)
    assert not one.owned() & two.owned()
    one.close()
    settle([two], PARTITIONS)
    two.close()


def test_a_member_that_wants_other_topics_is_refused(log: Log) -> None:
    """At once, or at its first poll."""
    one = log.join("g", ["in"])
    settle([one], PARTITIONS)
    with pytest.raises(Misconfigured, match="stop the members of the older version first"):
        log.join("g", ["in", "more"]).poll(5.0, 1)
    one.close()


def test_two_processes_copy_everything_exactly_once(
    log: Log, start: Callable[[str], Process]
) -> None:
    a, b = start("a"), start("b")
    until(lambda: len(a.owned()) == len(b.owned()) == PARTITIONS // 2, "an even share")
    feed(log, 0, 300)
    until(lambda: sum(copied(log).values()) >= 300, "all copies")
    assert copied(log) == each_once(300)
    assert any("committed" in line for line in a.said)
    assert any("committed" in line for line in b.said)


def test_a_member_that_dies_leaves_its_numbers_to_the_other(
    log: Log, start: Callable[[str], Process]
) -> None:
    a, b = start("a"), start("b")
    until(lambda: len(a.owned()) == len(b.owned()) == PARTITIONS // 2, "an even share")
    feed(log, 0, 200)
    a.signal(signal.SIGKILL)
    feed(log, 200, 200)
    until(lambda: len(b.owned()) == PARTITIONS, "b to own everything")
    until(lambda: sum(copied(log).values()) >= 400, "all copies")
    assert copied(log) == each_once(400)


def test_a_frozen_member_that_thaws_is_fenced(
    log: Log, start: Callable[[str], Process], tmp_path: Path
) -> None:
    """Frozen between reading and committing; no lock of the file is held there."""
    a = start("a")
    until(lambda: len(a.owned()) == PARTITIONS, "a to own everything")
    hold = tmp_path / "hold-a"
    hold.touch()
    feed(log, 0, 100)
    until(lambda: any("read" in line for line in a.said), "a to have read a batch")
    a.signal(signal.SIGSTOP)
    hold.unlink()
    b = start("b")
    feed(log, 100, 100)
    until(lambda: len(b.owned()) == PARTITIONS, "b to own everything")
    until(lambda: sum(copied(log).values()) >= 200, "b to finish")
    before = len(a.said)
    a.signal(signal.SIGCONT)
    until(lambda: any("fenced" in line for line in a.said[before:]), "a to be fenced")
    until(lambda: any(line.get("lost") for line in a.said[before:]), "a to notice its loss")
    until(lambda: len(a.owned()) == len(b.owned()) == PARTITIONS // 2, "an even share again")
    feed(log, 200, 100)
    until(lambda: sum(copied(log).values()) >= 300, "the rest")
    assert copied(log) == each_once(300)


def test_a_batch_read_before_a_freeze_cannot_be_committed_after_it(log: Log) -> None:
    """The same, step by step: a number goes to another member and comes back meanwhile."""
    log.append([record(f"{number}", number) for number in range(PARTITIONS)])
    one = log.join("g", ["in"], lease_seconds=60)
    settle([one], PARTITIONS)
    stale = poll_each(one, frozenset(range(PARTITIONS)))
    two = log.join("g", ["in"], lease_seconds=60)
    settle([one, two], PARTITIONS)
    moved = min(two.owned())
    two.close()
    settle([one], PARTITIONS)
    place = TopicPartition("in", moved)

    with pytest.raises(Fenced):
        one.commit(stale[moved].membership, [copy("late", moved)], after(stale[moved], place))

    assert copied(log) == Counter()
    assert one.committed([place]) == {}
    anew = poll_each(one, frozenset({moved}))[moved]
    assert texts(anew.records[place]) == [f"{moved}"], "it was put back for whoever owns it now"
    one.commit(anew.membership, [copy("anew", moved)], after(anew, place))
    assert copied(log) == Counter({"anew": 1})
    one.close()


def poll_each(member: Member, numbers: frozenset[int]) -> dict[int, Polled]:
    """Poll until each of these numbers has brought a record; the first poll that did, by number."""
    found: dict[int, Polled] = {}
    while not numbers <= found.keys():
        polled = poll_records(member)
        for place in polled.records:
            found.setdefault(place.partition, polled)
    return found


def copy(text: str, number: int) -> Record:
    """What a member called `one` makes of a record."""
    return record(f"one:{text}", number, "out")


def after(polled: Polled, place: TopicPartition) -> dict[TopicPartition, Position]:
    """Behind what was polled of this place, and of no other."""
    return {place: positions_after(polled)[place]}
