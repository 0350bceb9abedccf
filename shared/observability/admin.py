"""The small HTTP server beside every loop: /metrics, /healthz, /readyz, and read-only questions.

Runs in a thread of its own. No message ever waits for an answer from here.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from shared.errors import Misconfigured
from shared.observability.metrics import Metrics


class AdminServer:
    """Serves until `stop`. `healthy` and `ready` are asked at each request.

    `why_not`: why it is not ready although it runs, in words; empty when nothing is in the way.
    """

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        *,
        healthy: Callable[[], bool],
        ready: Callable[[], bool],
        why_not: Callable[[], str] = lambda: "",
        questions: Sequence[BaseRoute] = (),
    ) -> None:
        app = Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                *questions,
            ]
        )
        self._exposition, self._healthy, self._ready = metrics.exposition, healthy, ready
        self._why_not = why_not
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        )
        self._host, self._port = host, port
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, then serve. Raises Misconfigured when the port is taken."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self._host, self._port))
        except OSError as error:
            listening.close()
            raise Misconfigured(
                f"port {self._port} on {self._host} is taken ({error.strerror}): stop what runs "
                "there, or give this service another with DOORSTEP_<SERVICE>__PORT"
            ) from error
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="admin", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=5)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._exposition(), media_type="text/plain; version=0.0.4")

    async def _healthz(self, _: Request) -> Response:
        return _answer(self._healthy(), "healthy", "the loop does not turn")

    async def _readyz(self, _: Request) -> Response:
        if word := self._why_not():
            return _answer(False, "", f"not ready: {word}")
        return _answer(self._ready(), "ready", "not ready: still reading tables or joining")


def _answer(good: bool, yes: str, no: str) -> Response:
    return PlainTextResponse(yes if good else no, status_code=200 if good else 503)
