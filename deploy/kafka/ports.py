"""Free ports that stay free while a broker is down.

They are taken from below the range the kernel gives to outgoing connections (32768 on): a client
that tries to reach a killed broker may be given that broker's port as its own, and the broker could
then not come back.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from typing import Final

from deploy.kafka.properties import HOST

_RANGE: Final = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """As many different ports as asked for, each free at this moment."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_RANGE, len(_RANGE)):
            if len(found) == count:
                return found
            attempt = held.enter_context(socket.socket())
            try:
                attempt.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
    raise OSError(f"no {count} free ports in {_RANGE}")
