"""A sandbox in a process of its own, for demos, rehearsals and tests that drive one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_IMPORT_ROOT: Final = Path(__file__).resolve().parents[2]


class SandboxProcess:
    """Starts a sandbox, waits for its readiness, and stops it at the end of a `with`."""

    def __init__(self, directory: Path, *options: str) -> None:
        """`options` as on the command line, without --directory."""
        self.directory = directory
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.certificate_path = Path()

    def start(self) -> Self:
        """Start it. Raises RuntimeError with what it said when it does not get ready."""
        paths = filter(None, (str(_IMPORT_ROOT), os.environ.get("PYTHONPATH")))
        where = ("--directory", str(self.directory))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.ses_sandbox", *where, *self._options],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sandbox ended with status {self.stop()}; see its last words")
        ready = json.loads(line)
        self.url = ready["url"]
        self.certificate_path = Path(ready["certificate"])
        return self

    def kill(self) -> None:
        """SIGKILL, and see it out."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and see it out; its exit status."""
        return self._end(signal.SIGTERM)

    def switch(self, **changes: object) -> dict[str, Any]:
        """Throw switches, or none to only look; all switches as they then stand."""
        return self._ask("/sandbox/switches", changes)

    def report(self) -> dict[str, Any]:
        """`GET /sandbox/report`."""
        return self._ask("/sandbox/report")

    def mail_files(self) -> list[Path]:
        """The accepted mails in the order of acceptance."""
        return sorted((self.directory / "mail").glob("[nc]*/*.eml*"), key=lambda path: path.name)

    def mails(self) -> list[Message]:
        """The accepted mails, parsed."""
        return [message_from_bytes(path.read_bytes()) for path in self.mail_files()]

    def journal(self) -> list[dict[str, Any]]:
        """The lines of requests.jsonl."""
        text = (self.directory / "requests.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(number)
        status = process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()
        return status

    def _ask(self, path: str, changes: Mapping[str, object] | None = None) -> dict[str, Any]:
        body = None if changes is None else json.dumps(changes).encode()
        request = urllib.request.Request(
            self.url + path, data=body, method="GET" if body is None else "PUT"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
