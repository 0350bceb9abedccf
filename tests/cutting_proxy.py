"""A way to PostgreSQL that is cut exactly at a commit: before it gets there, or after it was made.

The client sees the same both times: a connection that is gone, and no word about its commit.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal, Self

CHUNK = 1 << 16
Cut = Literal["before", "after"]


class CuttingProxy:
    """Listens on loopback and passes everything on. Used as `with CuttingProxy(port) as proxy`."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._cut: tuple[Cut, int] | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.cuts = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for pair in self._pairs:
            _close(*pair)

    def through(self, dsn: str) -> str:
        """The same connection string, by way of us."""
        return dsn.replace(f":{self._server_port}/", f":{self.port}/")

    def cut_at_commit(self, when: Cut, *, after: int = 0) -> None:
        """Cut the next commit but `after`, whichever connection it comes from."""
        self._cut = (when, after)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except OSError:
                    client.close()
                    continue
                self._pairs.append((client, server))
                gone = threading.Event()
                threading.Thread(target=self._up, args=(client, server, gone), daemon=True).start()
                threading.Thread(
                    target=self._down, args=(client, server, gone), daemon=True
                ).start()

    def _up(self, client: socket.socket, server: socket.socket, gone: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(CHUNK):
                when = self._cut_now(data)
                if when is not None:
                    gone.set()  # what the server says from here on is not passed on
                if when != "before":
                    server.sendall(data)
                if when == "after":
                    return
                if when == "before":
                    break
        _close(client, server)

    def _down(self, client: socket.socket, server: socket.socket, gone: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(CHUNK):
                if gone.is_set():
                    break
                client.sendall(data)
        _close(client, server)

    def _cut_now(self, data: bytes) -> Cut | None:
        if self._cut is None or b"commit\x00" not in data:
            return None
        when, left = self._cut
        if left:
            self._cut = (when, left - 1)
            return None
        self._cut = None
        self.cuts += 1
        return when


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
