"""Builds tiny made-up evidence: a sandbox's directory, a ledger and frozen sets."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MESSAGE = (
    "create table message(message_id text, send_id text, occurrence integer, supporter_id text,"
    " to_address text, per_inbox integer, deadline_ms integer, state text, settled integer,"
    " attempt integer, reason text)"
)
FROZEN = (
    "create table frozen(message_id text, send_id text, supporter_id text, state text,"
    " settled integer, released integer)"
)
NINE_MS = 1_777_885_200_000


@dataclass
class Scene:
    """Evidence that balances until something is planted in it."""

    directory: Path
    ledger: list[dict[str, Any]] = field(default_factory=list)
    frozen: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    mails: int = 0

    def person(self, name: str, state: str = "accepted", **row: Any) -> None:
        """One person of the audience, in the ledger and the frozen set; mailed if accepted."""
        self.book(name, state, **row)
        self.freeze(name, state)
        if state == "accepted":
            self.mail(name, to=row.get("to_address"))

    def book(self, name: str, state: str, send: str = "spring", **row: Any) -> None:
        """A ledger row."""
        self.ledger.append(
            {
                "message_id": name,
                "send_id": send,
                "occurrence": 0,
                "supporter_id": f"supporter-{name}",
                "to_address": f"{name}@example.org",
                "per_inbox": 1,
                "deadline_ms": None,
                "state": state,
                "settled": 1,
                "attempt": int(state in {"accepted", "unconfirmed", "attempting"}),
                "reason": None,
                **row,
            }
        )

    def freeze(self, name: str, state: str | None, send: str = "spring", **row: Any) -> None:
        """A row of a frozen set."""
        self.frozen.append(
            {
                "message_id": name,
                "send_id": send,
                "supporter_id": f"supporter-{name}",
                "state": state,
                "settled": 1,
                "released": 1,
                **row,
            }
        )

    def mail(
        self, name: str, send: str = "spring", *, to: str | None = None, at: str = "09:00:00.000"
    ) -> Path:
        """A mail that SES took, and its line in the journal."""
        self.request(name, send)
        return self.mail_file(name, send, to=to, at=at)

    def mail_file(
        self, name: str, send: str = "spring", *, to: str | None = None, at: str = "09:00:00.000"
    ) -> Path:
        """The file alone. The sender's own headers claim another tag, which must not count."""
        self.mails += 1
        folder = self.directory / "mail" / ("cur" if self.mails % 2 else "new")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{NINE_MS + self.mails}.0102-{self.mails}.eml"
        path.write_text(
            f"Message-ID: <{self.mails}@sandbox>\r\nX-SES-Tag-m: {name}\r\nX-SES-Tag-s: {send}\r\n"
            f"X-SES-Tag-o: 0\r\nX-SES-Tag-p: supporter-{name}\r\n"
            f"X-SES-Recipient: {to or f'{name}@example.org'}\r\n"
            f"X-SES-Accepted-At: 2026-05-04T{at}Z\r\nX-SES-Tag-m: a forgery\r\n"
            "Subject: Spring\r\n\r\nHello\r\n",
            newline="",
        )
        return path

    def request(
        self,
        name: str,
        send: str = "spring",
        *,
        outcome: str = "accepted",
        answer: int | None = 200,
    ) -> None:
        """A line of the journal."""
        tags = {"m": name, "s": send, "o": "0", "a": "1"}
        self.requests.append({"outcome": outcome, "answer": answer, "tags": tags})

    def arguments(self, *options: str, frozen: bool = True) -> list[str]:
        """Everything written to disk, and the command line that looks at it."""
        (self.directory / "mail" / "new").mkdir(parents=True, exist_ok=True)
        (self.directory / "requests.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in self.requests)
        )
        _write(self.directory / "ledger.db", MESSAGE, "message", self.ledger)
        _write(self.directory / "store.db", FROZEN, "frozen", self.frozen)
        return [
            "--mail", str(self.directory), "--ledger", str(self.directory / "ledger.db"),
            *(("--frozen", str(self.directory / "store.db")) if frozen else ()), *options,
        ]  # fmt: skip


def _write(path: Path, ddl: str, table: str, rows: list[dict[str, Any]]) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(ddl)
        database.executemany(
            f"insert into {table} values ({','.join('?' * (ddl.count(',') + 1))})", _values(rows)
        )


def _values(rows: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    yield from (tuple(row.values()) for row in rows)
