"""A disk that fills up under a send: nothing new is taken in, and it goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.bridges.command_line import doorstep
from tests.integration.sender.audience import people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Station

SIZE_MB = 96
STOP_MB = 30


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)],
        capture_output=True, check=False,
    ).returncode  # fmt: skip
    if not mounted:
        pytest.skip("mounting a tmpfs: a small disk can only be made by root, where mounts work")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def said_of(station: Station, service: str) -> tuple[int, str]:
    answer = httpx.get(f"http://127.0.0.1:{station.settings[f'{service}__port']}/readyz")
    return answer.status_code, answer.text


def test_below_the_floor_nothing_new_is_taken_in_until_there_is_room(small_disk: Path) -> None:
    home = small_disk / "home"
    home.mkdir()
    with Station(home) as here:
        here.settings |= {"disk__stop_mb": STOP_MB, "disk__warn_mb": STOP_MB + 5}
        assert here.tracker is not None
        here.tracker.stop()
        here.tracker = here.start("services.tracker").wait_for_line("tracker.listening")
        sender = here.start_sender()
        here.feed("before", people(20, "before"))
        here.wait_for_states("before", accepted=20)

        ballast = small_disk / "ballast"
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        ballast.write_bytes(bytes(free - 20_000_000))
        sender.wait_for_line("disk.stopped")
        until(lambda: said_of(here, "sender")[0] == 503, "the sender to say so")
        assert "nothing new is taken in" in said_of(here, "sender")[1]

        here.feed("during", people(20, "during"))
        until(lambda: "floor is" in said_of(here, "tracker")[1], "the tracker to say so")
        assert said_of(here, "tracker")[0] == 200, "links still lead where they should"
        told = doorstep(here, "status", code=75).stdout
        assert "takes nothing new in" in told.replace("\n", " ")
        csv = here.home / "people.csv"
        csv.write_text("email,first_name\nann@example.net,Ann\n")
        refused = doorstep(
            here, "import", "supporters", str(csv), "--source", "test", code=75
        ).stderr
        assert "Make room" in " ".join(refused.split())
        assert not here.rows("during"), "not even taken into the ledger"

        ballast.unlink()
        here.wait_for_states("during", accepted=20)
        assert said_of(here, "sender") == (200, "ready")
        assert not here.audit("before", "during")["findings"]
        assert sender.stop() == 0
