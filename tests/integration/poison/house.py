"""A house for one real service: a home with a log, and what can be read of what the service did."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

import apsw

from deploy.ports import free_port
from shared.log.embedded.body import EmbeddedLog
from shared.log.record import Record, Stored
from shared.log.topics import DEAD_LETTERS
from shared.wire.cloudevents import decode
from shared.wire.dead_letters import DeadLetter
from tests.contract.log.narration import read_all
from tests.integration.sender.processes import ServiceProcess

PARTITIONS = 4
NOBODY_LISTENS = "http://127.0.0.1:9"
"""Where the sender looks for SES: what it does with records does not depend on an answer."""


class House:
    """Used as `with House(...)`; the service ends with it."""

    def __init__(self, home: Path, service: str) -> None:
        self.home = home
        self._service = service
        self._settings = {
            "partitions": PARTITIONS,
            "loop__lease_seconds": 1,
            "loop__poll_seconds": 0.05,
            f"{service}__port": free_port(),
            "sender__ses_endpoint": NOBODY_LISTENS,
        }
        self._started: list[ServiceProcess] = []
        self._log = EmbeddedLog(home / "log.db", PARTITIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.kill()
        self._log.close()

    def start(self) -> ServiceProcess:
        """Start the service, with nothing that is not real but the absence of SES."""
        process = ServiceProcess(f"services.{self._service}", self.home, self._settings)
        self._started.append(process)
        return process

    def append(self, *records: Record) -> None:
        """Put records on the log, all at once."""
        self._log.append(records)

    def on(self, topic: str) -> list[Stored]:
        """Everything on a topic."""
        follower = self._log.follow(topic)
        found = read_all(follower)
        follower.close()
        return found

    def letters(self) -> list[DeadLetter]:
        """All dead letters, oldest first."""
        found = [decode(stored).data for stored in self.on(DEAD_LETTERS)]
        return [letter for letter in found if isinstance(letter, DeadLetter)]

    def column(self, store: str, question: str) -> Sequence[str]:
        """The first column of an answer of the service's store; empty while it is not there."""
        path = self.home / store
        if not path.exists():
            return []
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            database.set_busy_timeout(10_000)
            try:
                return [str(value) for (value, *_) in database.execute(question)]
            except apsw.SQLError:  # its tables are not there yet
                return []
