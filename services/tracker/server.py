"""uvicorn in a thread of its own, on sockets that are bound before anything else starts.

In a thread, so that signals stay with the process's one handler and shutdown has one order. No
access log: addresses hold tokens. Several trackers may share a port: the system then gives each its
part of the new connections (SO_REUSEPORT), and each also listens where it answers alone.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from services.tracker.connection import Connection
from shared.errors import DoorstepError, Misconfigured

BACKLOG: Final = 2_048
GRACE_SECONDS: Final = 10


class HttpServer:
    """Serves from `start` to `stop`."""

    def __init__(self, host: str, port: int, own_port: int = 0) -> None:
        """Binds. Raises Misconfigured when a port cannot be had.

        `own_port`: where this one answers alone, when `port` is shared; 0: it is not.
        """
        self._sockets = [_bound(host, port, shared=bool(own_port))]
        if own_port:
            self._sockets.append(_bound(host, own_port))
        self.port, self.own_port = (int(s.getsockname()[1]) for s in (self._sockets * 2)[:2])
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, app: ASGIApp, within_seconds: float = 30.0) -> None:
        """Serve; returns when connections are taken. Raises DoorstepError when they never are."""
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE_SECONDS,
            backlog=BACKLOG,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=(self._sockets,), name="http", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + within_seconds
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise DoorstepError("tracker: the HTTP server did not start; its log says why")
            time.sleep(0.005)

    def alive(self) -> bool:
        """Whether it is serving."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Take no more connections, let requests in hand be answered, end."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=GRACE_SECONDS + 5)
        for listening in self._sockets:
            listening.close()


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Connections that the system has given to this process are nobody else's: take those that
        # wait before the port is closed, or they are reset.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await super().shutdown(sockets)


def _bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Misconfigured(f"DOORSTEP_TRACKER__HOST={host}: {error}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise Misconfigured(
            f"the tracker cannot listen on {host}:{port}: {error}; set DOORSTEP_TRACKER__PORT, or "
            "DOORSTEP_TRACKER__OWN_PORT on each where several are to share it"
        ) from error
    return listening
