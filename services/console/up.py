"""`doorstep up` and `doorstep run`: the services on this machine.

Decides what to start and with which environment; keeping it running is `supervising`'s.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from services.console.asking import HOST, SERVICES, Service, Services
from services.console.home import SECRET, begin_home, handed_down
from services.console.rehearsal import NAME as SANDBOX
from services.console.rehearsal import free_port, keep_mode, pointed_at, sandbox
from services.console.supervising import Program, Supervisor
from services.console.surroundings import here
from services.console.telling import Passing, Teller
from shared.errors import Misconfigured
from shared.log.opening import open_log
from shared.programme.problems import no_such
from shared.settings import PREFIX, Settings

STOP_ORDER: Final = ("segmenter", "renderer", "sender", SANDBOX, "tracker")
"""Whoever makes work first; the tracker last, since people and SES call it until the end."""


def up(
    context: typer.Context,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="With a sandbox in the place of Amazon SES.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Pass the services' log lines on, as JSON.")
    ] = False,
) -> None:
    """Run all services on this machine until Ctrl-C; start again what crashes."""
    around = here(context)
    fresh = not (around.settings.home / SECRET).exists()
    around.settings = settings = begin_home(around.settings)
    with _alone(settings.home):
        keep_mode(settings.home, rehearsal=rehearsal)
        open_log(settings).close()
        programs = _programs(settings, rehearsal=rehearsal)
        passing = Passing(programs, around.screen) if as_json else None
        teller = Teller(around.screen, settings, rehearsal=rehearsal, as_json=as_json)
        teller.begin(fresh=fresh)
        supervisor = Supervisor(
            programs, STOP_ORDER, teller.tell, passing.turn if passing else lambda: None
        )
        exit_code = supervisor.run()
    raise typer.Exit(exit_code)


def run(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help=f"One of: {', '.join(SERVICES)}.")],
) -> None:
    """Run one service in the foreground; its log goes to standard error."""
    if service not in SERVICES:
        raise Misconfigured(": ".join(no_such("service", service, SERVICES)))
    settings = begin_home(here(context).settings)
    environment = handed_down(settings, os.environ)
    command = [sys.executable, "-m", f"services.{service}"]
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own program, no shell


def _programs(settings: Settings, *, rehearsal: bool) -> list[Program]:
    """In the order of starting."""
    environment = handed_down(settings, os.environ)
    logs = settings.home / "logs"
    programs: list[Program] = []
    if rehearsal:
        port = free_port()
        clean = {name: each for name, each in environment.items() if not name.startswith(PREFIX)}
        programs.append(sandbox(settings, clean, port, logs / f"{SANDBOX}.log"))
        environment = pointed_at(environment, settings, port)
    services = Services(settings)
    for name in SERVICES:
        _check_port(name, settings)
        programs.append(
            Program(
                name,
                [sys.executable, "-m", f"services.{name}"],
                environment,
                logs / f"{name}.log",
                lambda name=name: services.ready(name),  # type: ignore[misc]
            )
        )
    return programs


def _check_port(service: Service, settings: Settings) -> None:
    port = getattr(settings, service).port
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((HOST, port)) == 0:
            raise Misconfigured(
                f"port {port}, where the {service} is to answer, is taken by another program: stop "
                f"that one, or choose another port with {PREFIX}{service.upper()}__PORT"
            )


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Holds the home for one supervisor. Raises Misconfigured when there is one already."""
    path = home / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise Misconfigured(
                f"{home}: `doorstep up` runs here already (process {holder or 'unknown'}): "
                "see how it is with `doorstep status`, or stop it with Ctrl-C where it runs"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
