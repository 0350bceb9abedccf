"""What `doorstep up` says while it runs: to a person, or as JSON lines with the services' own logs.

Only tells; what happens is decided by the supervisor.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from services.console.home import SECRET
from services.console.instances import Instance
from services.console.rehearsal import NAME as SANDBOX
from services.console.rehearsal import sandbox_directory
from services.console.screen import Screen, duration, some
from services.console.supervising import Happening, Program
from shared.settings import Settings


class Teller:
    """Says what happens, to a person or as JSON lines."""

    def __init__(
        self,
        screen: Screen,
        settings: Settings,
        instances: Sequence[Instance],
        *,
        rehearsal: bool,
        as_json: bool,
    ) -> None:
        self._screen, self._settings = screen, settings
        self._rehearsal, self._as_json = rehearsal, as_json
        self._urls = {each.name: each.url for each in instances}
        self._ready: set[str] = set()

    def begin(self, *, fresh: bool, topics: int = 0) -> None:
        """`fresh`: a secret was made; `topics`: so many were made at the brokers."""
        home = self._settings.home
        if self._as_json:
            self._line("up.starting", home=str(home), rehearsal=self._rehearsal, topics_made=topics)
            return
        mode = " (a rehearsal: no mail leaves this machine)" if self._rehearsal else ""
        self._screen.say(("Doorstep", "bold"), f" in {home}{mode}")
        if self._settings.log != "embedded":
            stores = "PostgreSQL" if self._settings.postgres_dsn() else "files"
            made = f" ({some(topics, 'topic')} made)" if topics else ""
            self._screen.say(f"  Log: Kafka at {self._settings.log}{made}; stores: {stores}")
        if fresh and self._settings.secret_file == home / SECRET:
            self._screen.say(
                ("  Made a secret: ", "yellow"),
                f"{home / SECRET}. Keep a copy for ever: who is who hangs on it.",
            )

    def tell(self, happening: Happening) -> None:
        if self._as_json:
            fields = {name: each for name, each in asdict(happening).items() if each}
            self._line(f"up.{fields.pop('kind')}", **fields)
        else:
            self._say(happening)

    def _say(self, it: Happening) -> None:
        name = f"{it.program:<12}"
        match it.kind:
            case "started" | "stopping":
                return
            case "ready":
                self._screen.say(("  ✓ ", "green"), name, self._where(it.program))
                self._all_ready(it.program)
            case "ended":
                self._screen.say(
                    ("  ! ", "yellow"), name, f"{it.why}; starts again in {duration(it.seconds)}"
                )
                self._last_words(it)
            case "stays_down":
                self._screen.say(
                    ("  ✗ ", "red"), name, f"stays down: {it.why} (exit code {it.exit_code})"
                )
                self._last_words(it)
                self._screen.say(
                    " " * 16, "Mend that, then stop with Ctrl-C and start again with `doorstep up`."
                )
            case "stopped":
                self._screen.say(("  ■ ", "dim"), name, "stopped")
            case "killed":
                self._screen.say(("  ■ ", "red"), name, "did not stop in time and was killed")

    def _last_words(self, it: Happening) -> None:
        if it.last_words:
            self._screen.say(" " * 16, it.last_words)
        log = self._settings.home / "logs" / f"{it.program}.log"
        self._screen.say((f"{' ' * 16}log: {log}", "dim"))

    def _where(self, program: str) -> str:
        if program == SANDBOX:
            return f"mail is kept in {sandbox_directory(self._settings) / 'mail'}"
        return self._urls[program]

    def _all_ready(self, program: str) -> None:
        before = len(self._ready)
        self._ready.add(program)
        wanted = len(self._urls) + (1 if self._rehearsal else 0)
        if before < len(self._ready) == wanted:
            self._screen.say(
                "All are ready. Ctrl-C stops them; ",
                (f"logs are in {self._settings.home / 'logs'}", "dim"),
            )

    def _line(self, action: str, **fields: object) -> None:
        self._screen.json_line({"service": "up", "action": action, **fields})


class Passing:
    """Passes the services' log lines on as they are written."""

    def __init__(self, programs: Sequence[Program], screen: Screen) -> None:
        self._screen = screen
        self._places = {
            program.log: (program.name, _size(program.log), b"") for program in programs
        }

    def turn(self) -> None:
        for log, (name, read_to, rest) in self._places.items():
            size = _size(log)
            # A log that has shrunk was begun anew.
            place, kept = (read_to, rest) if size >= read_to else (0, b"")
            if size == place:
                continue
            with log.open("rb") as stream:
                stream.seek(place)
                read = stream.read()
            *lines, unfinished = (kept + read).split(b"\n")
            self._places[log] = (name, place + len(read), unfinished)
            for line in lines:
                self._pass(name, line.decode("utf-8", "replace"))

    def _pass(self, name: str, line: str) -> None:
        if not line.strip():
            return
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            entry = {"service": name, "message": line}
        self._screen.json_line(entry | {"instance": name})


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
