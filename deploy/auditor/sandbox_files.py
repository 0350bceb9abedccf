"""Reads what the SES sandbox leaves in its directory: mails as files, requests as JSON lines.

Of a mail only the block of headers that SES itself put on top is believed; what the sender wrote
below it could say anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from deploy.auditor.evidence import Asked, EvidenceError, Mail

LAST_OF_SES: Final = "X-SES-Accepted-At"
_TAG: Final = "X-SES-Tag-"


def read_mails(directory: Path) -> tuple[Mail, ...]:
    """Every mail in the Maildir `directory/mail`, read by somebody or not.

    Raises EvidenceError.
    """
    folder = directory / "mail"
    if not (folder / "new").is_dir():
        raise EvidenceError(f"{directory}: there is no mail/new in it; is it a sandbox's?")
    files = [*(folder / "new").iterdir(), *_read_mails(folder / "cur")]
    return tuple(_mail(path) for path in sorted(files, key=lambda path: path.name))


def read_requests(directory: Path) -> tuple[Asked, ...]:
    """Every request in `requests.jsonl`, in order. A last line that a kill tore is no request."""
    path = directory / "requests.jsonl"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise EvidenceError(f"{path}: cannot read it: {error}") from error
    whole, _, _torn = text.rpartition("\n")
    return tuple(
        _asked(line, f"{path}, line {number}")
        for number, line in enumerate(whole.splitlines(), 1)
        if line
    )


def _read_mails(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from folder.iterdir()


def _mail(path: Path) -> Mail:
    pairs = list(_assigned(path))
    assigned = dict(pairs)
    try:
        accepted_at = datetime.fromisoformat(assigned[LAST_OF_SES])
    except (KeyError, ValueError) as error:
        raise EvidenceError(f"{path}: no readable {LAST_OF_SES} header") from error
    return Mail(
        file=path.name,
        accepted_ms=round(accepted_at.timestamp() * 1000),
        recipients=tuple(value for name, value in pairs if name == "X-SES-Recipient"),
        tags={name.removeprefix(_TAG): value for name, value in pairs if name.startswith(_TAG)},
    )


def _assigned(path: Path) -> Iterator[tuple[str, str]]:
    """The headers SES put on top, the last of them included."""
    with path.open("rb") as file:
        for line in file:
            name, colon, value = line.decode("utf-8", "replace").partition(":")
            if not colon:
                return
            yield name, value.strip()
            if name == LAST_OF_SES:
                return


def _asked(line: str, where: str) -> Asked:
    try:
        said: dict[str, Any] = json.loads(line)
        return Asked(
            accepted=said["outcome"] == "accepted", answer=said["answer"], tags=dict(said["tags"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{where}: not a request: {error!r}") from error
