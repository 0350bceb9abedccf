"""Pictures of a page by an installed Chromium, without a window and without running its scripts.

Spoken to over two pipes (the DevTools protocol, `--remote-debugging-pipe`): messages are JSON, each
ended by a NUL. The browser gets a profile of its own, which is gone with it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shared.errors import Misconfigured, RetryLater

PROGRAMS: Final = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell",
)  # fmt: skip
PATIENCE_SECONDS: Final = 60.0
MOST_PIXELS: Final = 20_000
"""Of height: nobody reads further, and a picture of more cannot be made."""

_SWITCHES: Final = (
    "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-sync", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip
_COMMANDS, _ANSWERS = 3, 4
"""The descriptors at which Chromium reads and writes."""
_FREE_FROM: Final = 10


@dataclass(frozen=True, slots=True)
class Device:
    """What a mail is shown on: CSS pixels wide, and how many real ones make a CSS one."""

    width: int
    scale: int


DESKTOP: Final = Device(1200, 1)
PHONE: Final = Device(375, 2)


def find_browser(path: str | None = None) -> str:
    """The program. `path`: where to look, as PATH. Raises Misconfigured when there is none."""
    for name in PROGRAMS:
        if found := shutil.which(name, path=path):
            return found
    raise Misconfigured(
        "a picture needs Chromium, and none is on the PATH: install it (Debian and Ubuntu: "
        "chromium), or write the page with --html FILE and open it in a browser"
    )


def picture(html: str, device: Device, *, dark: bool = False, program: str | None = None) -> bytes:
    """The whole page as PNG. Raises Misconfigured without a browser, RetryLater when it fails."""
    chosen = program or find_browser()
    with tempfile.TemporaryDirectory(prefix="doorstep-", ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "mail.html"
        page.write_text(html, encoding="utf-8")
        with _started(chosen, Path(folder) / "profile") as browser:
            return _taken(browser, page.as_uri(), device, dark=dark)


def _taken(browser: _Browser, address: str, device: Device, *, dark: bool) -> bytes:
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
    browser.session = str(attached["sessionId"])
    browser.ask("Page.enable")
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    # Never `mobile`: mail programs lay a page out as wide as they are, whatever its viewport says.
    browser.ask(
        "Emulation.setDeviceMetricsOverride", width=device.width, height=800,
        deviceScaleFactor=device.scale, mobile=False,
    )  # fmt: skip
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.ask("Emulation.setEmulatedMedia", features=[scheme])
    browser.ask("Page.navigate", url=address)
    browser.wait_for("Page.loadEventFired")
    size = browser.ask("Page.getLayoutMetrics")["cssContentSize"]
    height = min(MOST_PIXELS, max(1, int(size["height"])))
    clip = {"x": 0, "y": 0, "width": device.width, "height": height, "scale": 1}
    shot = browser.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
    return base64.b64decode(shot["data"])


@contextlib.contextmanager
def _started(program: str, profile: Path) -> Iterator[_Browser]:
    switches = [*_SWITCHES, f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        switches.append("--no-sandbox")  # Chromium refuses to be root with one
    ours_to_write, ours_to_read, process = _spawn([program, *switches])
    try:
        yield _Browser(ours_to_write, ours_to_read)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ours_to_write)
        os.close(ours_to_read)


def _spawn(command: list[str]) -> tuple[int, int, int]:
    """Where we write, where we read, and the process. Raises RetryLater."""
    theirs_to_read, ours_to_write = os.pipe()
    ours_to_read, theirs_to_write = os.pipe()
    # Away from the low numbers, so that neither is overwritten while the other is put in its place.
    ends = [
        fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FREE_FROM)
        for end in (theirs_to_read, theirs_to_write)
    ]
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, ends[0], _COMMANDS),
        (os.POSIX_SPAWN_DUP2, ends[1], _ANSWERS),
    ]
    try:
        process = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    except OSError as error:
        os.close(ours_to_write)
        os.close(ours_to_read)
        raise RetryLater(f"Chromium cannot be started: {error}") from error
    finally:
        for end in (theirs_to_read, theirs_to_write, *ends):
            os.close(end)
    return ours_to_write, ours_to_read, process


class _Browser:
    """One conversation. Everything in it must be done within PATIENCE_SECONDS."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._until = time.monotonic() + PATIENCE_SECONDS
        self._number = 0
        self._read = bytearray()
        self._seen: list[str] = []
        self.session = ""

    def ask(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        """The result. Raises RetryLater."""
        self._number += 1
        said: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            said["sessionId"] = self.session
        self._write(json.dumps(said).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RetryLater(f"Chromium did not {method}: {answer['error']}")
                result: Mapping[str, Any] = answer["result"]
                return result

    def wait_for(self, event: str) -> None:
        """Until it has happened, perhaps before."""
        while event not in self._seen:
            self._next()

    def _next(self) -> Mapping[str, Any]:
        while (end := self._read.find(b"\0")) < 0:
            left = self._until - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise RetryLater(f"Chromium gave no answer within {PATIENCE_SECONDS:.0f} s")
            some = os.read(self._answers, 1 << 20)
            if not some:
                raise RetryLater(
                    "Chromium ended before there was a picture: start it by hand to see why"
                )
            self._read += some
        message: Mapping[str, Any] = json.loads(bytes(self._read[:end]))
        del self._read[: end + 1]
        if "method" in message:
            self._seen.append(str(message["method"]))
        return message

    def _write(self, said: bytes) -> None:
        try:
            while said:
                said = said[os.write(self._commands, said) :]
        except OSError as error:
            raise RetryLater("Chromium ended before there was a picture") from error
