"""Watermarks of the disk: when nothing new is taken in, and when it goes on."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from shared.observability.disk import MB, DiskWatch
from shared.observability.metrics import Metrics
from shared.settings import DiskSettings


class Disk:
    """A disk whose room a test decides on."""

    def __init__(self, *, needed: bool = True) -> None:
        self.free_mb, self.now, self.looks = 10_000, 0.0, 0
        self.metrics = Metrics("sender")
        settings = DiskSettings(warn_mb=1_000, stop_mb=100)
        self.watch = DiskWatch(
            Path("home"), settings, self.metrics, needed=needed, free=self._free,
            clock=lambda: self.now,
        )  # fmt: skip

    def _free(self, _: Path) -> int:
        self.looks += 1
        return self.free_mb * MB

    def low(self, free_mb: int) -> bool:
        self.free_mb, self.now = free_mb, self.now + 1.0
        return self.watch.low()


def test_it_stops_below_the_floor_and_goes_on_with_a_quarter_more() -> None:
    disk = Disk()
    assert [disk.low(mb) for mb in (10_000, 500, 100, 99, 110, 124)] == [False] * 3 + [True] * 3
    assert [disk.low(mb) for mb in (125, 101, 99)] == [False, False, True]


def test_it_says_which_disk_how_much_and_what_to_do() -> None:
    disk = Disk()
    assert disk.low(42)
    word = disk.watch.word()
    for part in ("home has 42 MB left", "floor is 100 MB", "Make room", "goes on by itself"):
        assert part in word


def test_it_looks_once_a_second_and_tells_the_metric() -> None:
    disk = Disk()
    assert disk.low(42)
    assert disk.watch.low()
    assert disk.looks == 1
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(disk.metrics.exposition().decode())
        for sample in family.samples
    }
    assert samples["doorstep_disk_stopped"] == 1


def test_a_disk_that_nothing_of_ours_is_written_on_stops_nobody() -> None:
    assert not Disk(needed=False).low(0)
