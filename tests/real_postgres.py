"""A PostgreSQL server of our own for tests: made in a temporary folder, on loopback, thrown away.

Use the fixture `postgres_server` (one server a session) and ask it for a `dsn()`: each call makes a
fresh database. Where there is no PostgreSQL the tests that want one are skipped by name; with
CI=true they fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

USER = "doorstep"
PASSWORD = "not-a-secret"
SETTINGS = {
    "fsync": "off",  # the folder is thrown away; a killed server loses nothing by it
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "warning",
}
SOMEBODY = ("postgres", "nobody")
"""PostgreSQL refuses to run as root: then it runs as the first of these that exists."""


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest version there is; None without one."""
    places = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    numbered = Path("/usr/lib/postgresql").glob("*/bin")
    places += sorted(numbered, key=lambda path: float(path.parent.name), reverse=True)
    return next((place for place in places if (place / "postgres").exists()), None)


class PostgresServer:
    """One server. `start`, `stop`, `restart`; `dsn()` makes a fresh database."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        self._folder = Path(tempfile.mkdtemp(prefix="doorstep-postgres-"))
        self._as: dict[str, Any] = _somebody_else()
        if self._as:
            shutil.chown(self._folder, self._as["user"], self._as["group"])
        self.port = _free_port()
        self._databases = 0
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if self._as:
            shutil.chown(password, self._as["user"], self._as["group"])
        self._run(
            "initdb", "--no-sync", "--auth", "scram-sha-256", "--username", USER,
            "--pwfile", str(password), "--encoding", "UTF8", "--locale", "C.UTF-8",
            "--pgdata", str(self._data),
        )  # fmt: skip
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
            file.write(f"port = {self.port}\n")
        self.start()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def dsn(self, name: str | None = None) -> str:
        """A connection string of a fresh database; of this one, made if need be, with a `name`."""
        self._databases += 1
        name = name or f"test_{os.getpid()}_{self._databases}"
        with self.connect("postgres") as connection:
            known = connection.execute("select 1 from pg_database where datname = %s", (name,))
            if not known.fetchone():
                connection.execute(f'create database "{name}" template template0')
        return self.address(name)

    def address(self, database: str, password: str = PASSWORD) -> str:
        """A connection string, whether or not there is such a database."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """A connection of the test's own."""
        return psycopg.connect(self.address(database), autocommit=True)

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", "--pgdata", str(self._data), "--silent",
                  "--log", str(self._folder / "log"))  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends every connection in order, `immediate` is a crash."""
        self._run("pg_ctl", "stop", "--wait", "--pgdata", str(self._data), "--silent",
                  "--mode", mode)  # fmt: skip

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop it and throw everything away."""
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        with (self._folder / f"{program}.out").open("w") as said:
            done = subprocess.run(
                [str(self._bin / program), *arguments], check=False, cwd=self._folder,
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, **self._as,
            )  # fmt: skip
        if done.returncode:
            texts = [p.read_text() for p in (Path(said.name), self._folder / "log") if p.exists()]
            raise RuntimeError(f"{program}: {' '.join(texts)}")


def missing() -> str | None:
    """A line about what is not there; None when there is a PostgreSQL."""
    return None if binaries() else "PostgreSQL: initdb and postgres, for the tests of its stores"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of this process."""
    found = binaries()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is missing (initdb, postgres); in CI that is a failure")
        pytest.skip("PostgreSQL is not installed here")
    server = PostgresServer(found)
    yield server
    server.remove()


def _somebody_else() -> dict[str, Any]:
    """Whom `subprocess` shall run it as; nobody in particular unless we are root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(known[name] for name in SOMEBODY if name in known)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
