"""The small HTTP server beside every loop: /metrics, /healthz, /readyz, and read-only questions.

Runs in a thread of its own. No message ever waits for an answer from here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from shared.observability.metrics import Metrics


class AdminServer:
    """Serves until `stop`. `healthy` and `ready` are asked at each request."""

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        *,
        healthy: Callable[[], bool],
        ready: Callable[[], bool],
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
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, host=host, port=port, log_config=None, access_log=False, lifespan="off"
            )
        )
        self._thread = threading.Thread(target=self._server.run, name="admin", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._exposition(), media_type="text/plain; version=0.0.4")

    async def _healthz(self, _: Request) -> Response:
        return _answer(self._healthy(), "healthy", "the loop does not turn")

    async def _readyz(self, _: Request) -> Response:
        return _answer(self._ready(), "ready", "not ready: still reading tables or joining")


def _answer(good: bool, yes: str, no: str) -> Response:
    return PlainTextResponse(yes if good else no, status_code=200 if good else 503)
