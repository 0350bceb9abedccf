"""A PostgreSQL server of our own: made in a temporary folder, on a socket and a loopback port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg import sql

from deploy.kafka.processes import Processes
from deploy.ports import free_ports

SUPERUSER: Final = "doorstep"
HOST: Final = "127.0.0.1"
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
_DEBIAN: Final = Path("/usr/lib/postgresql")
_STOPS: Final = {
    "smart": signal.SIGTERM,  # waits for clients to leave
    "fast": signal.SIGINT,  # disconnects them, rolls back, checkpoints
    "immediate": signal.SIGQUIT,  # as a crash: recovery at the next start
}


class NoPostgres(Exception):
    """The programs of a server are not here."""


def programs() -> Path:
    """The folder with initdb and postgres, the newest if there are several. Raises NoPostgres."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True)
    for folder in folders:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise NoPostgres("initdb and postgres are not in PATH nor in /usr/lib/postgresql: install it")


class PostgresServer:
    """Started, stopped, crashed and started again at will; its port stays the same.

    `durable=False` turns fsync off: right for every test but those that pull the plug.
    """

    def __init__(self, *, durable: bool = False, settings: dict[str, str] | None = None) -> None:
        self._programs = programs()
        self._folder = Path(tempfile.mkdtemp(prefix="doorstep-postgres-"))
        self.port: Final = free_ports(1)[0]
        self._user = _unprivileged_user()
        quick = {} if durable else {"fsync": "off", "full_page_writes": "off"}
        self._settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "max_connections": "200",
            "shared_buffers": "64MB",
            **quick,
            **(settings or {}),
        }
        self._processes = Processes()
        self._process: subprocess.Popen[bytes] | None = None
        self._initialise()

    def start(self) -> Self:
        """Start it and wait until it answers. Raises RuntimeError with its last words."""
        if self._process is not None:
            raise RuntimeError("the server runs already")
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        self._process = self._processes.start(
            [str(self._programs / "postgres"), "-D", str(self._data), *options],
            self._log, self._folder, self._user,
        )  # fmt: skip
        self._wait_ready()
        return self

    def stop(self, how: str = "fast") -> None:
        """End it: `smart`, `fast`, or `immediate` (a crash)."""
        self._end(_STOPS[how])

    def kill(self) -> None:
        """SIGKILL to the server; its sessions end as soon as they notice."""
        self._end(signal.SIGKILL)

    def restart(self, how: str = "fast") -> None:
        self.stop(how)
        self.start()

    def close(self) -> None:
        """Stop it and remove its data."""
        self._end(signal.SIGQUIT)
        self._processes.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def dsn(self, dbname: str | None = None) -> str:
        """The DSN of a database, created unless it is there; without a name, of a new one."""
        dbname = dbname or f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            known = connection.execute("select 1 from pg_database where datname = %s", [dbname])
            if known.fetchone() is None:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(dbname)))
        return self._address(dbname)

    def socket_dsn(self, dbname: str | None = None) -> str:
        """As `dsn`, over the unix socket."""
        _, _, name = self.dsn(dbname).rpartition("/")
        return f"postgresql://{SUPERUSER}@/{name}?host={self._folder}&port={self.port}"

    def drop(self, dsn: str) -> None:
        """Remove a database, whoever is still connected."""
        name = sql.Identifier(dsn.partition("?")[0].rpartition("/")[2])
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))

    def last_words(self) -> str:
        """The end of the server's log."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.is_file() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _address(self, dbname: str) -> str:
        return f"postgresql://{SUPERUSER}@{HOST}:{self.port}/{dbname}"

    def _initialise(self) -> None:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        subprocess.run(
            [
                self._programs / "initdb", "--pgdata", self._data, "--username", SUPERUSER,
                "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
            ],
            cwd=self._folder,
            user=self._user,
            extra_groups=None if self._user is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )  # fmt: skip

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                psycopg.connect(self._address("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        words = self.last_words()
        self._end(signal.SIGKILL)
        raise RuntimeError(f"the PostgreSQL server did not get ready: {words}")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            self._processes.end(process, how, STOP_SECONDS)


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: then somebody else's name, else None."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _version(folder: Path) -> int:
    name = folder.parent.name.partition(".")[0]
    return int(name) if name.isdigit() else 0
