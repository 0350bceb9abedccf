"""`doorstep up` and `doorstep run`: the services on this machine.

Decides what to start and with which environment; keeping it running is `supervising`'s.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from services.console.asking import Services
from services.console.home import (
    SECRET,
    begin_home,
    check_log,
    check_stores,
    handed_down,
    keep_places,
    with_log,
    with_postgres,
)
from services.console.instances import (
    HOST,
    SERVICES,
    Instance,
    Service,
    forget_instances,
    name_of,
    write_instances,
)
from services.console.rehearsal import NAME as SANDBOX
from services.console.rehearsal import check_mode, free_port, keep_mode, pointed_at, sandbox
from services.console.supervising import Program, Supervisor
from services.console.surroundings import here
from services.console.telling import Passing, Teller
from services.console.topics import KAFKA, as_the_cluster_can, make_topics, require_topics
from shared.errors import Misconfigured
from shared.log.opening import open_log
from shared.programme.problems import no_such
from shared.settings import PREFIX, Settings

STOP_ORDER: Final = ("segmenter", "renderer", "sender", SANDBOX, "tracker")
"""Whoever makes work first; the tracker last, since people and SES call it until the end."""


PORTS_APART: Final = 10
"""Between the ports of two instances of a service, as far as they are free."""


def up(
    context: typer.Context,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="With a sandbox in the place of Amazon SES.")
    ] = False,
    kafka: KAFKA = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            "--postgres", metavar="DSN",
            help=f"The database; else {PREFIX}POSTGRES, or {PREFIX}POSTGRES_FILE, which no list "
            "of processes shows.",
        ),
    ] = None,
    segmenters: Annotated[int, typer.Option("--segmenters", min=1, help="How many.")] = 1,
    renderers: Annotated[int, typer.Option("--renderers", min=1, help="How many.")] = 1,
    senders: Annotated[int, typer.Option("--senders", min=1, help="How many.")] = 1,
    trackers: Annotated[
        int, typer.Option("--trackers", min=1, help="How many; they share one port.")
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Pass the services' log lines on, as JSON.")
    ] = False,
) -> None:  # fmt: skip
    """Run all services on this machine until Ctrl-C; start again what crashes.

    The home remembers brokers and database: name them once, or when they move.
    """
    around = here(context)
    counts: dict[Service, int] = {
        "segmenter": segmenters, "renderer": renderers, "sender": senders, "tracker": trackers,
    }  # fmt: skip
    named = with_postgres(with_log(around.settings, kafka), postgres)
    may_be_several(named, counts)
    fresh = not (named.home / SECRET).exists()
    settings = begin_home(named)
    with _alone(settings.home):
        check_mode(settings.home, rehearsal=rehearsal)
        check_log(settings)
        check_stores(settings)
        made = _topics_there(settings, rehearsal=rehearsal)
        open_log(settings).close()
        keep_mode(settings.home, rehearsal=rehearsal)
        around.settings = settings = keep_places(settings)
        instances = chosen(settings, counts)
        programs = _programs(settings, instances, rehearsal=rehearsal)
        passing = Passing(programs, around.screen) if as_json else None
        teller = Teller(around.screen, settings, instances, rehearsal=rehearsal, as_json=as_json)
        teller.begin(fresh=fresh, topics=made)
        write_instances(settings.home, instances)
        supervisor = Supervisor(
            programs, stop_order([program.name for program in programs], instances), teller.tell,
            passing.turn if passing else lambda: None,
        )  # fmt: skip
        exit_code = supervisor.run()
        forget_instances(settings.home)
    raise typer.Exit(exit_code)


def may_be_several(settings: Settings, counts: Mapping[Service, int]) -> None:
    """Raises Misconfigured when instances are asked for that could not share their work."""
    several = [name for name in ("segmenter", "sender") if counts[name] > 1]
    lacking = [
        option
        for option, there in (
            ("--kafka", settings.log != "embedded"),
            ("--postgres", bool(settings.postgres_dsn())),
        )
        if not there
    ]
    if several and lacking:
        raise Misconfigured(
            f"several {' and '.join(f'{name}s' for name in several)} share their work over Kafka "
            f"and their store in PostgreSQL: give {' and '.join(lacking)}, too, or run one of each"
        )


def chosen(settings: Settings, counts: Mapping[Service, int]) -> list[Instance]:
    """Every instance with a port of its own. Raises Misconfigured when a service's is taken.

    Several trackers share the service's port, beside the ones where each answers alone.
    """
    firsts = {service: int(getattr(settings, service).port) for service in SERVICES}
    for service, port in firsts.items():
        if _taken(port):
            raise Misconfigured(
                f"port {port}, where the {service} is to answer, is taken by another program: stop "
                f"that one, or choose another port with {PREFIX}{service.upper()}__PORT"
            )
    used, instances = set(firsts.values()), []
    for service, first in firsts.items():
        shared = service == "tracker" and counts[service] > 1
        if not shared:
            instances.append(Instance(service, service, HOST, first))
        for number in range(1 if shared else 2, counts[service] + 1):
            port = first + PORTS_APART * (number if shared else number - 1)
            while port in used or port > 65_535 or _taken(port):
                port = free_port()
            used.add(port)
            instances.append(Instance(service, name_of(service, number), HOST, port))
    return instances


def stop_order(programs: Sequence[str], instances: Sequence[Instance]) -> list[str]:
    """The programs in the order of stopping: instances of a service together. Pure."""
    service = {each.name: each.service for each in instances}
    return sorted(programs, key=lambda name: STOP_ORDER.index(service.get(name, name)))


def _topics_there(settings: Settings, *, rehearsal: bool) -> int:
    """Make sure of the topics; how many a rehearsal has made. Raises Misconfigured."""
    if rehearsal:
        return len(make_topics(as_the_cluster_can(settings)))
    require_topics(settings)
    return 0


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


def _programs(
    settings: Settings, instances: Sequence[Instance], *, rehearsal: bool
) -> list[Program]:
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
    programs += [
        Program(
            each.name,
            [sys.executable, "-m", f"services.{each.service}"],
            _environment_of(each, environment, settings),
            logs / f"{each.name}.log",
            lambda each=each: services.is_ready(each),  # type: ignore[misc]
        )
        for each in instances
    ]
    return programs


def _environment_of(
    instance: Instance, environment: Mapping[str, str], settings: Settings
) -> dict[str, str]:
    setting = f"{PREFIX}{instance.service.upper()}__PORT"
    if instance.service == "tracker" and instance.port != settings.tracker.port:
        setting = f"{PREFIX}TRACKER__OWN_PORT"
    found = {**environment, setting: str(instance.port)}
    if instance.name != instance.service:
        found[f"{PREFIX}INSTANCE"] = instance.name.removeprefix(f"{instance.service}-")
    return found


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


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
