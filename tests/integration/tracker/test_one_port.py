"""Several trackers on one port, and one of them leaving while people click."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.ports import free_port
from shared.errors import Misconfigured
from tests.integration.tracker.running import RunningTracker, eventually, tracker_home
from tests.unit.tracker.building import token

CLIENTS = 4


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RunningTracker, RunningTracker, int]]:
    """Two trackers of one home, and the port that both listen on."""
    shared = free_port()
    with tracker_home(tmp_path) as first:
        second = RunningTracker(tmp_path)
        try:
            for tracker, instance in ((first, ""), (second, "2")):
                tracker.start(
                    DOORSTEP_TRACKER__PORT=str(shared),
                    DOORSTEP_TRACKER__OWN_PORT=str(free_port()),
                    DOORSTEP_INSTANCE=instance,
                ).ready()
            yield first, second, shared
        finally:
            second.kill()


class People:
    """Threads that open mails, each time over a new connection, until they are told to stop."""

    def __init__(self, port: int) -> None:
        self.opened: list[str] = []
        self.refused: list[str] = []
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._open) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _open(self) -> None:
        while not self._over.is_set():
            supporter = str(uuid.uuid4())
            url = f"http://127.0.0.1:{self._port}/o/{token(supporter=supporter)}.gif"
            # A connection that the system handed over in the very instant of closing is reset
            # before it is read; mail programs and proxies then ask again.
            with httpx.Client(transport=httpx.HTTPTransport(retries=2)) as client:
                try:
                    answer = client.get(url)
                except httpx.ReadError:
                    answer = client.get(url)
            if answer.status_code == 200:
                self.opened.append(supporter)
            else:
                self.refused.append(f"{answer.status_code}")


def test_one_leaves_while_people_click_and_every_hit_is_on_the_log_once(
    pair: tuple[RunningTracker, RunningTracker, int],
) -> None:
    first, second, shared = pair
    people = People(shared)
    try:
        for tracker in (first, second):
            eventually(
                lambda tracker=tracker: tracker.metric("doorstep_tracked_hits_total") >= 30,
                "each of the two takes its part",
            )
        assert second.stop() == 0
        before = len(people.opened)
        eventually(lambda: len(people.opened) > before + 50, "the other goes on alone")
    finally:
        people.stop()
    assert people.refused == []
    (drained,) = [line for line in second.said() if line.get("action") == "tracker.drained"]
    assert drained["left"] == 0
    assert first.stop() == 0
    found = [event.supporter_id for event in first.events("opened")]
    assert len(found) == len(set(found))
    assert set(people.opened) <= set(found)


def test_a_port_that_is_not_shared_is_not_to_be_joined(home: RunningTracker) -> None:
    home.start().ready()
    other = RunningTracker(home.home)
    other.start(
        DOORSTEP_TRACKER__PORT=str(home.port),
        DOORSTEP_TRACKER__OWN_PORT=str(free_port()),
        DOORSTEP_INSTANCE="2",
    )
    assert other.ended() == Misconfigured.exit_code
    assert "OWN_PORT" in str(other.said())


def test_what_is_left_at_a_stop_without_a_log_is_told_and_forwarded_at_the_next_start(
    tmp_path: Path,
) -> None:
    with tracker_home(tmp_path) as tracker:
        tracker.start().ready()
        tracker.stop()
        tracker.start(DOORSTEP_LOG=f"127.0.0.1:{free_port()}")
        tracker.port = eventually(tracker.listening_port, "it listens without a log")
        for _ in range(3):
            httpx.get(f"{tracker.url}/o/{token()}.gif")
        assert tracker.stop() == 0
        (drained,) = [line for line in tracker.said() if line.get("action") == "tracker.drained"]
        assert drained["left"] == 3
        tracker.start().ready()
        assert len(tracker.forwarded(3)) == 3
