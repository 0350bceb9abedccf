"""Opening the store that the settings name: a SQLite file in home, or a schema in PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from shared.errors import RetryLater
from shared.moved import refuse_moved
from shared.observability.logs import Journal
from shared.settings import Settings
from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.store.sqlite import SqliteStore

LONGEST_PAUSE = 5.0


def open_store(
    settings: Settings,
    service: str,
    file: str,
    ddl: Sequence[str],
    *,
    postgres_ddl: Sequence[str] = (),
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    cache_mb: int = 64,
) -> Store[Unit]:
    """The store of a service: home/`service`/`file`, or the schema `service` in PostgreSQL.

    `ddl` makes the tables of both; `postgres_ddl` is what only PostgreSQL needs besides, as it is.
    Raises Misconfigured when a person has to change something, RetryLater when PostgreSQL did not
    come within `settings.loop.retry_seconds`.
    """
    dsn = settings.postgres_dsn()
    if dsn:
        return _patiently(settings, dsn, service, ddl, postgres_ddl)
    refuse_moved(settings.home)
    return SqliteStore(
        settings.home / service / file, ddl, synchronous=synchronous, cache_mb=cache_mb
    )


def _patiently(
    settings: Settings, dsn: str, service: str, ddl: Sequence[str], postgres_ddl: Sequence[str]
) -> PostgresStore:
    journal, pause = Journal("store"), 0.2
    until = time.monotonic() + settings.loop.retry_seconds
    while True:
        try:
            return PostgresStore(dsn, service, ddl, postgres_ddl=postgres_ddl)
        except RetryLater as error:
            if time.monotonic() + pause > until:
                raise
            journal.warning("store.unavailable", reason=str(error))
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
