"""How a service process begins and ends: settings, logs, signals, exit codes.

`run_service` is the last line of every `python -m services.NAME`; what is wired to what stands in
that service's own `__main__`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Protocol

from shared.errors import DoorstepError, Misconfigured
from shared.observability.logs import Journal, configure
from shared.settings import Settings, read_settings


class Service(Protocol):
    """A wired service."""

    def run(self) -> None:
        """Run until stopped; raises DoorstepError when it cannot go on."""
        ...

    def stop(self) -> None:
        """Ask it to end; called from a signal handler."""
        ...


def run_service(name: str, wire: Callable[[Settings], Service]) -> int:
    """Run it; the exit code: 0 for a clean stop, else the one of the error (shared/errors.py)."""
    try:
        settings = read_settings()
    except Misconfigured as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    configure(name, settings.log_level)
    journal = Journal(name)
    try:
        service = wire(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        journal.info("service.started")
        service.run()
    except DoorstepError as error:
        journal.error("service.ended", error=type(error).__name__, reason=str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the process ends here, with its story
        journal.failure("service.crashed", error)
        return 1
    journal.info("service.stopped")
    return 0
