"""Free ports for programs that this one starts, which stay free until those have taken them.

They lie below the range that the kernel gives to outgoing connections (32768 on). From that range,
any connection made between the choice and the start, or while a killed program is down, may be
given the very port, and the program cannot start. Each process counts on from a place of its own,
so that none is given out twice and two processes seldom choose the same.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from itertools import count
from typing import Final

_FIRST: Final = 20_000
_PORTS: Final = 12_000
_turns: Final = count(random.SystemRandom().randrange(_PORTS))


def free_ports(wanted: int, host: str = "127.0.0.1") -> list[int]:
    """As many different ports as asked for, each free at this moment. Raises OSError if too few."""
    found: list[int] = []
    with ExitStack() as held:
        for _ in range(_PORTS):
            if len(found) == wanted:
                return found
            port = _FIRST + next(_turns) % _PORTS
            attempt = held.enter_context(socket.socket())
            try:
                attempt.bind((host, port))
            except OSError:
                continue
            found.append(port)
    raise OSError(f"no {wanted} free ports from {_FIRST} to {_FIRST + _PORTS - 1} on {host}")


def free_port(host: str = "127.0.0.1") -> int:
    """One such port."""
    return free_ports(1, host)[0]
