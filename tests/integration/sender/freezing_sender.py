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
from services.sender.gateway import MailGateway
from services.sender.gateway_choice import open_gateway
from services.sender.lean_gateway import LeanGateway
from services.sender.ses_gateway import SesGateway
from shared.loop.process import run_service
from shared.observability.fail_points import FailPoints
from shared.settings import SenderSettings


def open_freezing(settings: SenderSettings) -> MailGateway:
    """Stops the process as the machine would: without anybody in it noticing."""
    made, frozen = open_gateway(settings), threading.Event()

    def freeze(**_: object) -> None:
        if not frozen.is_set():
            frozen.set()
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    if isinstance(made, LeanGateway):
        sign = made._signed_head

        def sign_after_freezing(body: bytes) -> Any:
            freeze()
            return sign(body)

        made._signed_head = sign_after_freezing  # type: ignore[method-assign]
    else:
        assert isinstance(made, SesGateway)
        made.client.meta.events.register_first("before-sign.sesv2.SendEmail", freeze)
    return made


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
        wiring.open_gateway = open_freezing  # type: ignore[attr-defined]
    sys.exit(run_service(wiring.GROUP, wiring.Sender))
