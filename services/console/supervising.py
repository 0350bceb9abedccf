"""Keeps programs running: starts them in order, starts again what crashed, stops them in order.

What an exit means is decided by `after_exit`, which is pure. Programs run in sessions of their own,
so that Ctrl-C reaches only the supervisor, and the order of stopping is ours.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from shared.errors import (
    BudgetPassed,
    LoopStuck,
    Misconfigured,
    NewerVersion,
    PositionOutsideLog,
    WrongStore,
)

NEEDS_A_PERSON: Final[Mapping[int, str]] = {
    Misconfigured.exit_code: "something is set up wrong",
    PositionOutsideLog.exit_code: "its position is not in the log",
    WrongStore.exit_code: "its store and the log do not belong together",
    BudgetPassed.exit_code: "too many records were refused",
    NewerVersion.exit_code: "it is too old for what is on the log",
}
"""Exit codes after which starting again would only fail again."""

LONGEST_PAUSE_SECONDS: Final = 30.0
CALM_SECONDS: Final = 60.0
"""Who ran this long begins again with the shortest pause."""
STOP_SECONDS: Final = 45.0
TURN_SECONDS: Final = 0.1
PROBE_SECONDS: Final = 0.3
LOG_BYTES: Final = 50_000_000
TAIL_BYTES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again after a pause."""

    after_seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class StayDown:
    """A person must mend something first."""

    why: str


def after_exit(exit_code: int, quick_exits: int) -> Restart | StayDown:
    """What to do about a program that ended although nobody stopped it.

    `quick_exits`: how often in a row it ended soon after its start, this time included.
    """
    if exit_code in NEEDS_A_PERSON:
        return StayDown(NEEDS_A_PERSON[exit_code])
    pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** max(0, quick_exits - 1))
    if exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else "a signal"
        return Restart(pause, f"it was ended by {name}")
    if exit_code == LoopStuck.exit_code:
        return Restart(pause, "its loop was stuck")
    return Restart(pause, "it ended" if exit_code == 0 else f"it crashed (exit code {exit_code})")


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `ready` is asked now and then until it says yes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]


Kind = Literal["started", "ready", "ended", "stays_down", "stopping", "stopped", "killed"]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to tell. `seconds`: until ready, or until it is started again."""

    kind: Kind
    program: str
    pid: int | None = None
    why: str = ""
    last_words: str = ""
    exit_code: int | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float | None = 0.0
    ready: bool = False
    probed_at: float = 0.0
    quick_exits: int = 0
    log_start: int = 0
    exit_code: int | None = None

    @property
    def hopeless(self) -> bool:
        return self.process is None and self.start_again_at is None


@dataclass(slots=True)
class Supervisor:
    """Runs programs until told to stop. `stop_order` names them in the order of stopping.

    `every_turn` is called some ten times a second, for whoever passes the logs on.
    """

    programs: Sequence[Program]
    stop_order: Sequence[str]
    tell: Callable[[Happening], None]
    every_turn: Callable[[], None] = lambda: None
    _children: list[_Child] = field(default_factory=list)
    _signals: int = 0

    def run(self) -> int:
        """0 after an orderly stop; the exit code of the first when all stay down."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        self._children = [_Child(program) for program in self.programs]
        try:
            while not self._signals:
                for child in self._children:
                    self._turn(child)
                self.every_turn()
                if all(child.hopeless for child in self._children):
                    return next((c.exit_code for c in self._children if c.exit_code), 1)
                time.sleep(TURN_SECONDS)
        finally:
            self._stop_all()
            self.every_turn()
        return 0

    def _signalled(self, *_: object) -> None:
        self._signals += 1

    def _turn(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if child.start_again_at is not None and child.start_again_at <= now:
                self._start(child, now)
        elif (exit_code := child.process.poll()) is not None:
            self._ended(child, exit_code, now)
        elif not child.ready and now - child.probed_at >= PROBE_SECONDS:
            child.probed_at = now
            if child.program.ready():
                child.ready = True
                self.tell(
                    Happening(
                        "ready", child.program.name, child.process.pid,
                        seconds=time.monotonic() - child.started_at,
                    )
                )  # fmt: skip

    def _start(self, child: _Child, now: float) -> None:
        log = child.program.log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("ab") as stream:
            child.log_start = stream.tell()
            child.process = subprocess.Popen(
                list(child.program.command),
                env=dict(child.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        child.started_at, child.start_again_at, child.ready = now, None, False
        self.tell(Happening("started", child.program.name, child.process.pid))

    def _ended(self, child: _Child, exit_code: int, now: float) -> None:
        child.quick_exits = 1 if now - child.started_at >= CALM_SECONDS else child.quick_exits + 1
        child.process, child.exit_code = None, exit_code
        said = last_words(child.program.log, child.log_start)
        decision = after_exit(exit_code, child.quick_exits)
        name = child.program.name
        if isinstance(decision, StayDown):
            self.tell(Happening("stays_down", name, None, decision.why, said, exit_code))
            return
        child.start_again_at = now + decision.after_seconds
        self.tell(
            Happening("ended", name, None, decision.why, said, exit_code, decision.after_seconds)
        )

    def _stop_all(self) -> None:
        """One after the other; another signal from a person ends those that are left at once."""
        asked = self._signals
        order = {name: index for index, name in enumerate(self.stop_order)}
        running = [child for child in self._children if child.process is not None]
        for child in sorted(running, key=lambda each: order.get(each.program.name, len(order))):
            process = child.process
            if process is None:
                continue
            self.tell(Happening("stopping", child.program.name, process.pid))
            _signal(process, signal.SIGTERM)
            until = time.monotonic() + STOP_SECONDS
            while process.poll() is None and time.monotonic() < until and self._signals <= asked:
                self.every_turn()
                time.sleep(TURN_SECONDS / 2)
            killed = process.poll() is None
            if killed:
                _signal(process, signal.SIGKILL)
            exit_code = process.wait()
            kind: Kind = "killed" if killed else "stopped"
            self.tell(Happening(kind, child.program.name, process.pid, exit_code=exit_code))


def last_words(log: Path, since: int) -> str:
    """The reason a program gave in its log before it ended, from the byte `since` on."""
    try:
        with log.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            begin = max(since, end - TAIL_BYTES)
            stream.seek(begin)
            lines = stream.read().decode("utf-8", "replace").splitlines()
            if begin > since:
                del lines[:1]  # it is cut off
    except OSError:
        return ""
    fallback = ""
    for line in reversed(lines):
        said = line.strip()
        if not said:
            continue
        try:
            entry = json.loads(said)
        except ValueError:
            fallback = fallback or said
            continue
        if isinstance(entry, dict) and entry.get("level") == "error":
            reason = entry.get("reason") or str(entry.get("error", "")).strip().split("\n")[-1]
            if reason:
                return str(reason)
    return fallback


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)
