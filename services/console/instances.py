"""Where the instances of each service answer: as the settings say, or as `doorstep up` wrote down.

A service has one instance at its own port unless somebody says otherwise: DOORSTEP_ASK_HOSTS for
services on other machines, or `instances.json` in the home for several on this one.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from shared.errors import Misconfigured
from shared.settings import PREFIX, Settings

Service = Literal["segmenter", "renderer", "sender", "tracker"]
SERVICES: Final[tuple[Service, ...]] = ("segmenter", "renderer", "sender", "tracker")
HOST: Final = "127.0.0.1"
FILE: Final = "instances.json"

Resolve = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a service. The first is called as its service, the next `sender-2`."""

    service: Service
    name: str
    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def name_of(service: str, number: int) -> str:
    """What the instance of that number is called; numbers begin with 1. Pure."""
    return service if number == 1 else f"{service}-{number}"


def addresses(host: str) -> list[str]:
    """The addresses behind a name: one name may stand for all instances of a service.

    The name itself where it has one address or none, so that an error names what was set.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [host]
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return [host]
    distinct = sorted({str(each[4][0]) for each in found})
    return distinct if len(distinct) > 1 else [host]


def find_instances(
    settings: Settings, service: Service, resolve: Resolve = addresses
) -> list[Instance]:
    """All instances of a service. Raises Misconfigured."""
    port = int(getattr(settings, service).port)
    said = settings.ask_hosts.get(service)
    if said is not None:
        places = [
            (address, number)
            for host, number in read_hosts(service, said, port)
            for address in resolve(host)
        ]
    else:
        places = read_instances(settings.home).get(service) or [(HOST, port)]
    return [
        Instance(service, name_of(service, number), host, port)
        for number, (host, port) in enumerate(places, 1)
    ]


def read_hosts(service: str, said: str, port: int) -> list[tuple[str, int]]:
    """`a, b:8713, [::1]:8703` as (host, port). Pure. Raises Misconfigured."""
    found = []
    for part in (each.strip() for each in said.split(",")):
        host, colon, number = part.rpartition(":")
        if not colon or part.endswith("]") or (":" in host and not host.endswith("]")):
            host, number = part, str(port)
        if not host or not number.isdigit() or not 0 < int(number) < 65_536:
            raise Misconfigured(
                f'{PREFIX}ASK_HOSTS: "{part}" of the {service} is no host: wanted are hosts '
                'between commas, each with a port where it is not the usual one: "a,b:8713"'
            )
        found.append((host.strip("[]"), int(number)))
    return found


def read_instances(home: Path) -> dict[str, list[tuple[str, int]]]:
    """What `doorstep up` wrote down; nothing where it did not, or where it cannot be read."""
    try:
        said = json.loads((home / FILE).read_text())
        return {
            str(service): [(HOST, int(port)) for port in ports] for service, ports in said.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_instances(home: Path, instances: Sequence[Instance]) -> None:
    """For the other commands of this home, while it runs and after a crash."""
    ports: dict[str, list[int]] = {}
    for each in instances:
        ports.setdefault(each.service, []).append(each.port)
    part = home / f"{FILE}.part"
    part.write_text(json.dumps(ports, indent=2) + "\n")
    part.replace(home / FILE)


def forget_instances(home: Path) -> None:
    """After an orderly end."""
    (home / FILE).unlink(missing_ok=True)
