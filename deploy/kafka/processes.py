"""Process groups that never outlive this process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from os import killpg
from pathlib import Path
from typing import Final

_WATCHDOG: Final = Path(__file__).with_name("watchdog.py")


class Processes:
    """Starts processes in groups of their own; a watchdog kills what is left when we are gone."""

    def __init__(self) -> None:
        self._watchdog: subprocess.Popen[bytes] | None = None

    def start(
        self, command: Sequence[str], output: Path, folder: Path, user: str | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one in a folder, with its output appended to a file, as another user if told."""
        if self._watchdog is None:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-S", "-E", str(_WATCHDOG)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        with output.open("ab") as written:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                extra_groups=None if user is None else [],
            )
        self._tell(f"+{process.pid}")
        return process

    def end(
        self, process: subprocess.Popen[bytes], number: signal.Signals, grace_seconds: float
    ) -> int:
        """Send a signal and see the process out, with SIGKILL when the grace is over."""
        signal_group(process, number)
        try:
            status = process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            signal_group(process, signal.SIGKILL)
            status = process.wait()
        self._tell(f"-{process.pid}")
        return status

    def close(self) -> None:
        """Let the watchdog go. It kills whatever was not ended."""
        if self._watchdog is not None:
            watchdog, self._watchdog = self._watchdog, None
            assert watchdog.stdin is not None
            watchdog.stdin.close()
            watchdog.wait()

    def _tell(self, line: str) -> None:
        assert self._watchdog is not None
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{line}\n".encode())
        self._watchdog.stdin.flush()


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a process that we have not seen out yet, and its children."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            killpg(process.pid, number)
