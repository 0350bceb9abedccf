"""What a session with PostgreSQL is like: time limits, so that no process that stands still can
hold up the others, and how it is named.
"""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.errors import Misconfigured

CONNECT_SECONDS: Final = 5
FROZEN_SECONDS: Final = 10
"""A transaction whose process says nothing for so long is cut: it holds what others wait for."""

LOCK_SECONDS: Final = 15
"""Longer than a frozen process can hold a lock, so that whoever waits for one outlasts it."""

_PARAMETERS: Final = {
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "client_encoding": "UTF8",
}
SESSION: Final = {
    "idle_in_transaction_session_timeout": f"{FROZEN_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
    "client_connection_check_interval": "5s",
    "default_transaction_isolation": "read committed",
    "bytea_output": "hex",
    "jit": "off",  # compiling a question takes longer than any of ours
}
_PORTS: Final = re.compile(r"[0-9,]*")
_NO_STRING: Final = (  # not a word of it: it may hold a password
    "DOORSTEP_POSTGRES: is no connection string; wanted is postgresql://user:password@host:5432/"
    "database, with %40 for @ and %2F for / in a password"
)


def conninfo(dsn: str, schema: str, name: str, *, read_only: bool) -> str:
    """The connection string with what Doorstep needs. What it says itself stands, but for the
    settings of SESSION. Raises Misconfigured when it is none.
    """
    try:
        given: dict[str, Any] = dict(conninfo_to_dict(dsn))
    except psycopg.Error:
        raise Misconfigured(_NO_STRING) from None
    if "@" in str(given.get("host", "")) or not _PORTS.fullmatch(str(given.get("port", ""))):
        raise Misconfigured(_NO_STRING)  # a password with marks in it, taken apart wrongly
    session = {**SESSION, "search_path": schema}
    if read_only:
        session["default_transaction_read_only"] = "on"
    else:
        given.setdefault("target_session_attrs", "read-write")
    options = [str(given.pop("options", "") or "")]
    options += [f"-c {key}={value.replace(' ', chr(92) + ' ')}" for key, value in session.items()]
    given.setdefault("application_name", f"doorstep-{name}")
    return make_conninfo(**{**_PARAMETERS, **given, "options": " ".join(options).strip()})
