"""Services as processes of their own: started, killed, stopped, waited for."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from tests.integration.sender.audience import SECRET

ROOT = Path(__file__).resolve().parents[3]


def until(condition: Callable[[], object], what: str, *, seconds: float = 60) -> None:
    """Look again until it holds; fail by name when the deadline passes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)


def environment(home: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """The environment of a service: ours without any setting, then these.

    `settings`: names without the prefix, as `sender__window`.
    """
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DOORSTEP_", "AWS_")) and name.lower() != "no_proxy"
    }
    fixed = {
        "NO_PROXY": "127.0.0.1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "DOORSTEP_HOME": str(home),
        "DOORSTEP_SECRET": base64.b64encode(SECRET).decode(),
    }
    own = {f"DOORSTEP_{name.upper()}": str(value) for name, value in settings.items()}
    return {**clean, **fixed, **own}


class ServiceProcess:
    """One run of a service. What it logs is in `log`."""

    def __init__(
        self, module: str, home: Path, settings: Mapping[str, object], *arguments: str
    ) -> None:
        logs = home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        name = module.rpartition(".")[2]
        self.log = logs / f"{name}-{len(list(logs.iterdir())):03}.log"
        with self.log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT, env=environment(home, settings), stdout=output, stderr=output,
            )  # fmt: skip
        self.pid = self._process.pid

    def said(self) -> str:
        """Everything it has logged."""
        return self.log.read_text()

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, *, seconds: float = 60) -> int:
        """Its exit status, once it has ended by itself; below zero: by that signal."""
        return self._process.wait(timeout=seconds)

    def kill(self) -> int:
        """SIGKILL, and see it out; its exit status."""
        return self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM once it listens to it, and see it out; its exit status."""
        self.wait_for_line("service.started")
        return self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it stands still until `thaw`."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait_for_line(self, text: str, *, seconds: float = 60) -> Self:
        """Return once it has logged this text. Fails when it ends before."""

        def found() -> bool:
            said = text in self.said()
            assert said or self.alive(), f"ended without {text!r}: {self.said()[-2000:]}"
            return said

        until(found, text, seconds=seconds)
        return self

    def _end(self, number: signal.Signals) -> int:
        if self.alive():
            self._process.send_signal(number)
        return self._process.wait(timeout=60)
