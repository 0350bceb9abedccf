"""A real tracker in a process of its own, on loopback, with a real log and spool beside it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from shared.log.embedded.body import EmbeddedLog
from shared.log.record import Record
from shared.wire.cloudevents import Envelope, decode
from shared.wire.dead_letters import DeadLetter
from shared.wire.events import Event
from shared.wire.suppressions import Suppression
from tests.unit.tracker.building import (
    PARTITIONS,
    SECRET_TEXT,
    TOKEN_KEY,
    programme_records,
)

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 30.0
ACTION_KEY = "a-key-of-the-campaigns-site"
SIGNER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ANOTHER_SIGNER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


def eventually(holds: Callable[[], Any], what: str) -> Any:
    """The first true answer; fails with `what` when there is none in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {DEADLINE_SECONDS:.0f} s: {what}")


class RunningTracker:
    """One home folder; the process may be started on it again and again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self._starts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write_log(self, records: list[Record]) -> None:
        log = EmbeddedLog(self.home / "log.db", PARTITIONS)
        log.append(records)
        log.close()

    def start(
        self, *arguments: str, fail_at: str = "", file_bytes: int = 0, **environment: str
    ) -> RunningTracker:
        """Start it. `file_bytes`: no file may grow beyond that, as on a full disk."""
        self._starts += 1
        said = self.home / f"said-{self._starts}.jsonl"
        own = {
            "DOORSTEP_HOME": str(self.home),
            "DOORSTEP_SECRET": SECRET_TEXT,
            "DOORSTEP_TOKEN_KEYS": json.dumps({1: base64.b64encode(TOKEN_KEY).decode()}),
            "DOORSTEP_ACTION_KEYS": json.dumps(["another-key", ACTION_KEY]),
            "DOORSTEP_ACTION_SECRETS": json.dumps([ANOTHER_SIGNER, SIGNER]),
            "DOORSTEP_TRACKER__PORT": "0",
            "DOORSTEP_TRACKER__CERTIFICATES": str(self.home / "certificates"),
            "DOORSTEP_FAIL_AT": fail_at,
            **environment,
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DOORSTEP_")}
        with said.open("w") as errors:
            command = [sys.executable, "-m", "services.tracker", *arguments]
            if file_bytes:
                blocks = str(file_bytes // 512)
                command = ["sh", "-c", 'ulimit -f "$0" && exec "$@"', blocks, *command]
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=inherited | own, stderr=errors, text=True
            )
        return self

    def ready(self) -> RunningTracker:
        """Wait until it listens and says that it is ready."""
        self.port = eventually(self.listening_port, f"the tracker listens; it said: {self.said()}")
        eventually(lambda: self.status("/readyz") == 200, "the tracker is ready")
        return self

    def listening_port(self) -> int:
        """Where this one alone answers, as it said; 0 while it does not."""
        assert self.process is not None
        assert self.process.poll() is None, f"it ended: {self.said()}"
        lines = [line for line in self.said() if line.get("action") == "tracker.listening"]
        return int(lines[-1]["own_port"]) if lines else 0

    def status(self, path: str) -> int:
        return httpx.get(self.url + path).status_code

    def said(self) -> list[dict[str, Any]]:
        """The log lines of the last start."""
        lines = (self.home / f"said-{self._starts}.jsonl").read_text().splitlines()
        return [json.loads(line) if line.startswith("{") else {"text": line} for line in lines]

    def ended(self) -> int:
        """Wait for it to end by itself; its exit code."""
        assert self.process is not None
        return self.process.wait(DEADLINE_SECONDS)

    def stop(self) -> int:
        """SIGTERM, and see it out."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE_SECONDS)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample; 0 when there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            if line.startswith(f"{name}{{") and all(one in line for one in wanted):
                return float(line.rpartition(" ")[2])
        return 0.0

    def records(self, topic: str) -> list[Envelope]:
        """Everything that is on a topic of the main log now."""
        log = EmbeddedLog(self.home / "log.db", PARTITIONS)
        follower = log.follow(topic)
        found = []
        while batch := follower.read():
            found += [decode(stored) for stored in batch]
        follower.close()
        log.close()
        return found

    def events(self, kind: str | None = None) -> list[Event]:
        found = [one.data for one in self.records("events") if isinstance(one.data, Event)]
        return [event for event in found if kind in (None, event.kind)]

    def suppressions(self) -> list[Suppression]:
        found = self.records("suppressions")
        return [one.data for one in found if isinstance(one.data, Suppression)]

    def dead_letters(self) -> list[DeadLetter]:
        found = self.records("dead-letters")
        return [one.data for one in found if isinstance(one.data, DeadLetter)]

    def forwarded(self, count: int) -> list[Event]:
        """Wait until so many events are on the log; all of them."""
        eventually(lambda: len(self.events()) >= count, f"{count} events on the log")
        return self.events()

    def nothing_recorded(self) -> bool:
        """After an ordered stop: neither the spool nor the log holds anything."""
        assert self.stop() == 0
        return not any(
            self.records(topic)
            for topic in ("events", "supporters", "suppressions", "dead-letters")
        )


@contextmanager
def tracker_home(home: Path) -> Iterator[RunningTracker]:
    """A home with a programme on its log; whatever runs on it is ended at last."""
    home.mkdir(parents=True, exist_ok=True)
    running = RunningTracker(home)
    running.write_log(programme_records())
    try:
        yield running
    finally:
        running.kill()
