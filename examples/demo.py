"""The demo: a neighbourhood programme through all services, on real postcodes, in one command.

20,000 made-up supporters, an ask in two variants, people who open, click and volunteer over real
HTTP, a follow-up to exactly the right ones, a sender killed half way, and books that balance to the
last person. Exit status 0 only if they do and the independent auditor agrees.

    make demo
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from examples.rehearsal import telling
from examples.rehearsal.supporters import write_supporters
from services.segmenter.people.places.directory import ATTRIBUTION, Directory

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".doorstep" / "demo"
PROGRAMME = ROOT / "examples" / "forth-valley"
SUPPORTERS = 20_000
SENDS = ("volunteer-ask", "follow-up", "thank-you")
PATIENCE = 150.0
PORTS = {"segmenter": 8741, "renderer": 8742, "sender": 8743, "tracker": 8744, "console": 8745}


class Demo:
    """One run, from an empty folder to the verdict."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.began = time.monotonic()
        self.environment = self._environment()
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self) -> int:
        """The story, step by step; the exit status."""
        try:
            return self._story()
        finally:
            self._stop()

    def _story(self) -> int:
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        self._say("Made-up supporters on known postcodes of the Forth Valley")
        csv_file = self._make_supporters()
        self._say("Starting segmenter, renderer, sender, tracker and an SES sandbox")
        self._start()
        self._say(f"Importing {SUPPORTERS:,} supporters")
        self._doorstep("import", "supporters", str(csv_file), "--source", "sign-ups", "--wait")
        self._say("The programme: plan, apply, count")
        self._doorstep("plan", str(PROGRAMME))
        self._doorstep("apply", str(PROGRAMME), "--yes")
        self._doorstep("segment", "list")
        self._say("Launching: the follow-up and the thank-you wait for people, the ask goes out")
        for send in ("follow-up", "thank-you", "volunteer-ask"):
            self._doorstep("send", "launch", send, "--yes")
        self._watch_the_crowd()
        self._say("Half way: the sender is killed with SIGKILL, and comes back")
        self._kill_half_way()
        self._wait_for_books()
        return self._verdict()

    def _environment(self) -> dict[str, str]:
        made = dict(os.environ)
        made |= {f"DOORSTEP_{name.upper()}__PORT": str(port) for name, port in PORTS.items()}
        made |= {
            "DOORSTEP_HOME": str(HOME),
            "DOORSTEP_POSTCODES": str(ROOT / ".doorstep" / "postcodes"),
            "DOORSTEP_TRACKING_URL": f"http://127.0.0.1:{PORTS['tracker']}",
            "DOORSTEP_SENDER__RATE": "500",
            "DOORSTEP_SENDER__SETTLE_SECONDS": "16",
            "DOORSTEP_SENDER__READ_TIMEOUT_SECONDS": "3",
            "DOORSTEP_SEGMENTER__SWEEP_SECONDS": "1",
            "DOORSTEP_LOOP__POLL_SECONDS": "0.1",
            "PYTHONUNBUFFERED": "1",
        }
        return made

    def _make_supporters(self) -> Path:
        directory = Directory.open(ROOT / ".doorstep" / "postcodes")
        postcodes = [known.postcode.canonical for known in directory.postcodes("FK")]
        self.console.print(f"  {len(postcodes):,} postcodes. {ATTRIBUTION}", style="dim")
        path = HOME / "supporters.csv"
        write_supporters(path, postcodes, SUPPORTERS)
        return path

    def _start(self) -> None:
        self.running.append(self._process("-m", "services.console", "up", "--rehearsal"))
        self._until(self._ready, 60, "all services to be ready")
        port = (HOME / "ses-sandbox" / "port").read_text().strip()
        httpx.put(
            f"http://127.0.0.1:{port}/sandbox/switches",
            json={"bounce_rate": 0.012, "complaint_rate": 0.001, "latency_ms": 5},
        ).raise_for_status()

    def _ready(self) -> bool:
        if self.running[0].poll() is not None:
            raise SystemExit((HOME / "up.log").read_text())
        try:
            return all(
                httpx.get(f"http://127.0.0.1:{PORTS[name]}/readyz").status_code == 200
                for name in ("segmenter", "renderer", "sender", "tracker")
            ) and (HOME / "ses-sandbox" / "port").exists()
        except httpx.HTTPError:
            return False

    def _watch_the_crowd(self) -> None:
        self.running.append(
            self._process(
                "-m", "examples.rehearsal.crowd",
                "--mail", str(HOME / "ses-sandbox" / "mail" / "new"),
                "--tracker", f"http://127.0.0.1:{PORTS['tracker']}",
                "--action-key", (HOME / "action-key").read_text().strip(),
                "--report", str(HOME / "crowd.json"),
            )
        )  # fmt: skip

    def _kill_half_way(self) -> None:
        books = self._books("volunteer-ask")
        half = max(1, books["frozen"] // 2)
        self._until(
            lambda: self._books("volunteer-ask")["states"].get("accepted", 0) >= half
            and self._books("volunteer-ask")["open"] > 0,
            PATIENCE, "half of the ask to be accepted",
        )  # fmt: skip
        sender = _process_of("services.sender", HOME)
        os.kill(sender, signal.SIGKILL)
        self.console.print(f"  killed with {self._books('volunteer-ask')['open']:,} messages open")
        self._until(lambda: _process_of("services.sender", HOME) != sender, 30, "a new sender")

    def _wait_for_books(self) -> None:
        """Until nothing is open anywhere and the crowd has nothing left to do."""
        still = {"since": time.monotonic(), "picture": ""}
        shown = {"at": 0.0}

        def quiet() -> bool:
            books = {send: self._books(send) for send in SENDS}
            picture = json.dumps([books, _read_json(HOME / "crowd.json")], sort_keys=True)
            if picture != still["picture"]:
                still.update(since=time.monotonic(), picture=picture)
            if time.monotonic() - shown["at"] > 5:
                shown["at"] = time.monotonic()
                telling.progress(self.console, books)
            is_open = any(b["open"] or b["in_doubt"] for b in books.values())
            return not is_open and time.monotonic() - float(still["since"]) > 4

        self._until(quiet, PATIENCE, "every book to be closed")

    def _verdict(self) -> int:
        self.running[1].terminate()
        self.running[1].wait(timeout=20)
        crowd = _read_json(HOME / "crowd.json")
        books = {send: self._books(send) for send in SENDS}
        self._say("Books")
        telling.books(self.console, books)
        telling.areas(self.console, books["volunteer-ask"])
        self._say("True rates, and what was measured")
        telling.rates(self.console, books)
        self._say("Who moved between segments")
        telling.movements(self.console, HOME / "segmenter" / "people.db", crowd)
        self._say("The independent auditor")
        audit = subprocess.run(
            [sys.executable, "-m", "deploy.auditor",
             "--mail", str(HOME / "ses-sandbox"), "--ledger", str(HOME / "sender" / "ledger.db"),
             "--frozen", str(HOME / "segmenter" / "people.db"), "--kills", "1"],
            cwd=ROOT, check=False,
        )  # fmt: skip
        unbalanced = telling.unbalanced(books)
        for line in unbalanced:
            self.console.print(f"[red]{line}[/red]")
        seconds = time.monotonic() - self.began
        telling.farewell(self.console, HOME, seconds)
        return 1 if unbalanced or audit.returncode else 0

    def _books(self, send: str) -> dict[str, Any]:
        address = f"http://127.0.0.1:{PORTS['segmenter']}/ask/books"
        answer = httpx.get(address, params={"send": send}, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _doorstep(self, *words: str) -> None:
        self.console.print(f"  [bold]$ doorstep {' '.join(_short(word) for word in words)}[/bold]")
        subprocess.run(
            [sys.executable, "-m", "services.console", *words],
            cwd=ROOT, env=self.environment, check=True,
        )  # fmt: skip

    def _process(self, *words: str) -> subprocess.Popen[bytes]:
        log = (HOME / f"{words[1].rpartition('.')[2].replace('console', 'up')}.log").open("ab")
        return subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=self.environment, stdout=log, stderr=log
        )

    def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"demo: waited {seconds:.0f} s in vain for {what}; see {HOME}")
            time.sleep(0.25)

    def _say(self, text: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{text}[/bold]  {time.monotonic() - self.began:.0f} s", align="left")

    def _stop(self) -> None:
        for process in reversed(self.running):
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def _process_of(module: str, home: Path) -> int:
    """The process id of a service of this home, 0 when there is none."""
    for line in subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if f"-m {module}" in line and str(home) in _environment_of(line.split()[0]):
            return int(line.split()[0])
    return 0


def _environment_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return str(HOME)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _short(word: str) -> str:
    return word.replace(f"{ROOT}/", "")


if __name__ == "__main__":
    sys.exit(Demo().run())
