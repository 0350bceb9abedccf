"""Kills brokers whose parent is gone. Run by path, without the rest of this room.

The parent writes `+PID` when it has started a process group and `-PID` when it has seen it out.
The pipe ends when the parent ends, however it ends; what is then still noted is killed. (Linux'
PR_SET_PDEATHSIG would not do: it fires when the *thread* that started the child ends.)
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    living: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            living.add(int(line[1:]))
        else:
            living.discard(int(line[1:]))
    for process in living:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
