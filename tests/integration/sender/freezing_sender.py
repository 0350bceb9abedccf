"""A sender that freezes itself, once, between its last look and the signature of its first call,
or at a commit point.

python -m tests.integration.sender.freezing_sender [POINT]
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import services.sender.__main__ as wiring
from services.sender.ses_gateway import SesGateway
from shared.loop.process import run_service
from shared.observability.fail_points import FailPoints


class Freezing(SesGateway):
    """Stops the process as the machine would: without anybody in it noticing."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._frozen = False
        self._client.meta.events.register_first("before-sign.sesv2.SendEmail", self._freeze)

    def _freeze(self, **_: object) -> None:
        if not self._frozen:
            self._frozen = True
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


class FreezingAt(FailPoints):
    """Stops the process at a point instead of ending it."""

    def __init__(self, _: str) -> None:
        super().__init__("")
        self._points = sys.argv[1:]

    def reach(self, point: str) -> None:
        if point in self._points:
            self._points.remove(point)
            # To this thread: to the process, it would run on until another thread is stopped.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        wiring.FailPoints = FreezingAt  # type: ignore[attr-defined]
    else:
        wiring.SesGateway = Freezing  # type: ignore[attr-defined]
    sys.exit(run_service(wiring.GROUP, wiring.Sender))
