"""Runs a sandbox: listens, says that it is ready, and ends in order on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import signal
from pathlib import Path

from deploy.ses_sandbox.connection import Connection
from deploy.ses_sandbox.sandbox import Sandbox
from deploy.ses_sandbox.settings import Settings, Switches

_BACKLOG = 1024


async def serve(settings: Settings, switches: Switches) -> None:
    """Serve until told to stop. Raises DirectoryInUse, and OSError for a port that is taken."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with Sandbox.opened(settings, switches) as sandbox:
        connections: set[Connection] = set()
        server = await loop.create_server(
            lambda: Connection(sandbox.answer, sandbox.clock, connections),
            settings.host,
            settings.port,
            backlog=_BACKLOG,
        )
        async with sandbox.posting() as posting:
            gc.freeze()
            port = server.sockets[0].getsockname()[1]
            _write_port(settings.directory / "port", port)
            _say_ready(settings, port, sandbox.certificate_path)
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({stopping, posting}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            server.close()
            for connection in list(connections):
                connection.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await server.wait_closed()


def _say_ready(settings: Settings, port: int, certificate: Path) -> None:
    ready = {
        "action": "sandbox.ready",
        "url": f"http://{settings.host}:{port}",
        "directory": str(settings.directory),
        "certificate": str(certificate),
    }
    print(json.dumps(ready), flush=True)


def _write_port(path: Path, port: int) -> None:
    beside = path.with_name("port.part")
    beside.write_text(f"{port}\n", encoding="ascii")
    beside.replace(path)
