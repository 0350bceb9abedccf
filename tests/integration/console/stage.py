"""A home with an embedded log, the command line run in it, and services that answer over HTTP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typer.testing import CliRunner, Result

from deploy.ports import free_port
from services.console.main import app
from shared.log.embedded.body import EmbeddedLog
from shared.log.record import Record, Stored
from shared.observability.admin import AdminServer
from shared.observability.metrics import Metrics
from shared.wire.cloudevents import Envelope, decode

SERVICES = ("segmenter", "renderer", "sender", "tracker")
PATIENCE_SECONDS = 30.0

Answer = Callable[[dict[str, Any]], Any]


class Service:
    """A service of which only the questions are there, on a real port.

    `answers`: path to the answer, or to what makes it of the question; `asked` keeps the questions.
    """

    def __init__(
        self, name: str, port: int, answers: Mapping[str, Answer | dict[str, Any]]
    ) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers = dict(answers)
        self.ready = True
        self.metrics = Metrics(name)
        self._server = AdminServer(
            "127.0.0.1", port, self.metrics,
            healthy=lambda: True, ready=lambda: self.ready,
            questions=[Route(f"/ask/{p}", self._answer, methods=["GET", "POST"]) for p in answers],
        )  # fmt: skip
        self._server.start()
        until(lambda: _listens(port), f"the {name} to listen")

    def stop(self) -> None:
        self._server.stop()

    async def _answer(self, request: Request) -> JSONResponse:
        name = request.url.path.removeprefix("/ask/")
        said = await request.body()
        asked = json.loads(said) if said else dict(request.query_params)
        self.asked.append((name, asked))
        answer = self.answers[name]
        found = answer(asked) if callable(answer) else answer
        return JSONResponse(
            found, status_code=found.pop("status", 400 if "error" in found else 200)
        )


class Stage:
    """A home of its own, and free ports. `doorstep` runs a command as a person would type it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = {name: free_port() for name in SERVICES}
        self.services: list[Service] = []
        self.environment: dict[str, str | None] = {"COLUMNS": "120"}
        for name, port in self.ports.items():
            self.environment[f"DOORSTEP_{name.upper()}__PORT"] = str(port)

    def doorstep(self, *words: str, input: str | None = None) -> Result:
        runner = CliRunner(env=self.environment)
        return runner.invoke(app, ["--home", str(self.home), *words], input=input)

    def said(self, *words: str) -> str:
        """What a command that succeeds says, on both streams."""
        result = self.doorstep(*words)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *words: str, code: int = 64) -> str:
        """What a command says that refuses."""
        result = self.doorstep(*words)
        assert result.exit_code == code, result.output
        assert "Error: " in result.stderr, result.stderr
        assert "Traceback" not in result.output
        return result.stderr

    def json(self, *words: str) -> Any:
        """The answer of a command in JSON."""
        result = self.doorstep(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def service(self, name: str, **answers: Answer | dict[str, Any]) -> Service:
        made = Service(name, self.ports[name], answers)
        self.services.append(made)
        return made

    def second(self, name: str, **answers: Answer | dict[str, Any]) -> Service:
        """Another instance of a service, known as `doorstep up` would make it known."""
        port = free_port()
        ports = {each: [number] for each, number in self.ports.items()}
        ports[name].append(port)
        (self.home / "instances.json").write_text(json.dumps(ports))
        made = Service(name, port, answers)
        self.services.append(made)
        return made

    def append(self, *records: Record) -> None:
        """As other services would."""
        log = EmbeddedLog(self.home / "log.db")
        log.append(records)
        log.close()

    def records(self, topic: str) -> list[tuple[Stored, Envelope]]:
        """Everything on a topic that is no tombstone."""
        log = EmbeddedLog(self.home / "log.db")
        follower = log.follow(topic)
        found = [(stored, decode(stored)) for stored in follower.read() if stored.value is not None]
        follower.close()
        log.close()
        return found

    def close(self) -> None:
        for service in self.services:
            service.stop()


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition; fail with what was waited for."""
    end = time.monotonic() + seconds
    pause = 0.01
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(pause)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
