"""A transactional id that is the same after a restart, and never the same for two processes.

A restarted process that takes up its old id ends what it left open, at once; another one would have
to wait for the transaction's timeout. The id is the installation's folder, the machine and the
first free slot there; a slot is a lock that the operating system frees when the process ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import socket
from pathlib import Path
from typing import Final

MOST_SLOTS: Final = 1_000


class Slot:
    """A claimed id. Hold on to it as long as it is used."""

    def __init__(self, name: str, descriptor: int = -1) -> None:
        self.name, self._descriptor = name, descriptor

    def free(self) -> None:
        """Let another process have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def claim_slot(home: Path, role: str) -> Slot:
    """The first free slot of a role on this machine."""
    folder = home / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    place = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:8]
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:80]
    for number in range(MOST_SLOTS):
        descriptor = os.open(folder / f"{role}-{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        return Slot(f"{host}-{place}-{role}-{number}", descriptor)
    raise RuntimeError(f"more than {MOST_SLOTS} processes of {role} on one machine")
