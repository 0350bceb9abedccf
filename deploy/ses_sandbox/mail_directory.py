"""The accepted mails as files: a Maildir that any mail reader opens.

A mail is written under `tmp/` and renamed into `new/`, so it is whole or absent. A reader may
move mails on to `cur/`; they are still known by their name. Nothing here deletes a kept mail.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.ses_sandbox.accepted_mail import AcceptedMail


class MailDirectory:
    """`DIR/mail` with `tmp`, `new` and `cur`; names are `<epoch ms>.<message id>.eml`."""

    def __init__(self, directory: Path, *, fsync: bool) -> None:
        self.new = directory / "new"
        self._tmp = directory / "tmp"
        self._cur = directory / "cur"
        self._fsync = fsync
        for folder in (self.new, self._tmp, self._cur):
            folder.mkdir(parents=True, exist_ok=True)

    def keep(self, mails: Iterable[AcceptedMail]) -> None:
        """Write all mails, then let all appear. On an OSError none of them is left behind."""
        moves = [(self._tmp / name, self.new / name, mail) for name, mail in _named(mails)]
        try:
            for tmp, _, mail in moves:
                self._write(tmp, mail.file)
            for tmp, new, _ in moves:
                tmp.rename(new)
            if self._fsync:
                _sync_folder(self.new)
        except OSError:
            self._remove(path for tmp, new, _ in moves for path in (tmp, new))
            raise

    def withdraw(self, mails: Iterable[AcceptedMail]) -> None:
        """Take mails back whose acceptance could not be completed."""
        self._remove(self.new / name for name, _ in _named(mails))

    def files(self) -> Iterator[tuple[str, Path]]:
        """(message id, path) of every kept mail, read or unread."""
        for folder in (self.new, self._cur):
            for entry in os.scandir(folder):
                message_id = _message_id(entry.name)
                if message_id is not None:
                    yield message_id, Path(entry.path)

    def clear_unfinished(self) -> int:
        """Remove what a crash left half-written; how many there were."""
        unfinished = list(self._tmp.iterdir())
        for path in unfinished:
            path.unlink()
        return len(unfinished)

    def _write(self, path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, data[written:])
            if self._fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _remove(paths: Iterable[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)


def _named(mails: Iterable[AcceptedMail]) -> list[tuple[str, AcceptedMail]]:
    return [(f"{mail.accepted_ms}.{mail.message_id}.eml", mail) for mail in mails]


def _message_id(name: str) -> str | None:
    """A reader that moves a mail to `cur` appends `:2,` and flags to its name."""
    parts = name.partition(":")[0].split(".")
    return parts[1] if len(parts) == 3 and parts[2] == "eml" else None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
