"""A stage: all services of a rehearsal on free ports of this machine, started and stopped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from deploy.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("segmenter", "renderer", "sender", "tracker")


class Stage:
    """`doorstep up --rehearsal` in a fresh home. `settings` are DOORSTEP_ names without prefix."""

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self.home = home
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.environment = dict(os.environ) | {"PYTHONUNBUFFERED": "1"}
        own = {f"{name.upper()}__PORT": str(port) for name, port in self.ports.items()} | {
            "HOME": str(home),
            "POSTCODES": str(ROOT / ".doorstep" / "postcodes"),
            "TRACKING_URL": f"http://127.0.0.1:{self.ports['tracker']}",
        }
        self.environment |= {f"DOORSTEP_{k}": v for k, v in (own | dict(settings)).items()}
        self._started: list[subprocess.Popen[bytes]] = []
        self._http = httpx.Client(timeout=30, trust_env=False)

    def __enter__(self) -> Self:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()
        for process in reversed(self._started):
            if process.poll() is None:
                process.terminate()
        for process in self._started:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()

    @property
    def tracker(self) -> str:
        return f"http://127.0.0.1:{self.ports['tracker']}"

    @property
    def mail(self) -> Path:
        """Where the sandbox keeps delivered mail."""
        return self.home / "ses-sandbox" / "mail" / "new"

    def start(self) -> None:
        """All services and the sandbox; returns when every one is ready."""
        self.process("up", "-m", "services.console", "up", "--rehearsal")
        self.until(self._ready, 60, "all services to be ready")

    def switch(self, **switches: float) -> None:
        """Throw switches of the sandbox."""
        port = (self.home / "ses-sandbox" / "port").read_text().strip()
        address = f"http://127.0.0.1:{port}/sandbox/switches"
        self._http.put(address, json=switches).raise_for_status()

    def process(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """A Python program of this checkout, its output in `home/NAME.log`."""
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        self._started.append(process)
        return process

    def doorstep(self, *words: str, quiet: bool = False) -> None:
        """A command of the console; raises CalledProcessError when it fails."""
        subprocess.run(
            [sys.executable, "-m", "services.console", *words],
            cwd=ROOT, env=self.environment, check=True, capture_output=quiet,
        )  # fmt: skip

    def books(self, send: str) -> dict[str, Any]:
        """The books of a send, as the segmenter tells them."""
        address = f"http://127.0.0.1:{self.ports['segmenter']}/ask/books"
        answer = self._http.get(address, params={"send": send})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def ledger(self, send: str) -> dict[str, int]:
        """Messages of a send by state, as the sender tells them; cheaper than the books."""
        address = f"http://127.0.0.1:{self.ports['sender']}/ask/books"
        states: dict[str, int] = self._http.get(address, params={"send": send}).json()["states"]
        return states

    def process_of(self, service: str) -> int:
        """The process id of a service of this stage, 0 while there is none."""
        listing = subprocess.run(
            ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
        ).stdout
        for line in listing.splitlines():
            pid, _, command = line.strip().partition(" ")
            if f"-m {service}" in command and self._is_ours(pid):
                return int(pid)
        return 0

    def until(
        self, condition: Callable[[], bool], seconds: float, what: str, every: float = 0.25
    ) -> None:
        """Wait for a condition; ends the program with a word when it does not come."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"waited {seconds:.0f} s in vain for {what}; see {self.home}")
            time.sleep(every)

    def _ready(self) -> bool:
        if self._started[0].poll() is not None:
            raise SystemExit((self.home / "up.log").read_text())
        try:
            return (self.home / "ses-sandbox" / "port").exists() and all(
                self._http.get(f"http://127.0.0.1:{self.ports[name]}/readyz").status_code == 200
                for name in SERVICES
            )
        except httpx.HTTPError:
            return False

    def _is_ours(self, pid: str) -> bool:
        try:
            environment = Path(f"/proc/{pid}/environ").read_text(errors="replace")
        except FileNotFoundError:
            return not Path("/proc").is_dir()
        except OSError:
            return False
        return f"DOORSTEP_HOME={self.home}\0" in environment


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file, empty while there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found
