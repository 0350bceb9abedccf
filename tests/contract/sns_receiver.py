"""An HTTP endpoint that takes SNS notifications, or refuses them when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Notification:
    """One post: the headers as they came and the envelope."""

    headers: dict[str, str]
    envelope: dict[str, str]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.envelope["Message"])
        return found


class SnsReceiver:
    """Collects notifications; `answer` is the status given to each."""

    def __init__(self, *, answer: int = 200, port: int = 0) -> None:
        self.answer = answer
        self._refused = 0
        self._taken: list[Notification] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/sns/secret"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def taken(self) -> list[Notification]:
        """The notifications taken so far, in order."""
        with self._changed:
            return list(self._taken)

    def wait_for(
        self, condition: Callable[[list[Notification]], bool], *, seconds: float = 30
    ) -> list[Notification]:
        """The notifications taken once they fulfil the condition."""
        with self._changed:
            met = self._changed.wait_for(lambda: condition(self._taken), seconds)
            taken = [(one.event["eventType"], one.event["mail"]["tags"]) for one in self._taken]
            assert met, f"waited {seconds} s in vain; taken: {taken}"
            return list(self._taken)

    def wait_for_refusals(self, count: int, *, seconds: float = 30) -> None:
        """Return once so many notifications were refused."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._refused >= count, seconds)

    def _post(self, headers: dict[str, str], body: bytes) -> int:
        with self._changed:
            if 200 <= self.answer < 300:
                self._taken.append(Notification(headers, json.loads(body)))
            else:
                self._refused += 1
            self._changed.notify_all()
            return self.answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(receiver._post(headers, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
