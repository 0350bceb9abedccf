"""Reads who may not be mailed any more, and from when on: JSON lines that a rehearsal has written.

One line is one moment after which SES may take no mail for a person, or for an inbox, of one send
or of any:

    {"after_ms": 1777885200000, "says": "...", "supporter_id": "...", "address": null, "send": null}

How long a withdrawal may take to arrive is in `after_ms` already: only the rehearsal knows what was
promised for the way by which it came. `says` is told in the finding and holds no address.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.auditor.evidence import EvidenceError, Withdrawal


def read_withdrawals(path: Path) -> tuple[Withdrawal, ...]:
    """All of them. Raises EvidenceError."""
    try:
        with path.open(encoding="utf-8") as lines:
            return tuple(_withdrawal(line, f"{path}, line {n}") for n, line in enumerate(lines, 1))
    except OSError as error:
        raise EvidenceError(f"{path}: cannot read it: {error}") from error


def _withdrawal(line: str, where: str) -> Withdrawal:
    try:
        said: dict[str, Any] = json.loads(line)
        found = Withdrawal(
            after_ms=int(said["after_ms"]),
            says=str(said["says"]),
            supporter_id=said["supporter_id"],
            address=said["address"],
            send=said["send"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{where}: not a withdrawal: {error!r}") from error
    if (found.supporter_id is None) == (found.address is None):
        raise EvidenceError(f"{where}: not a withdrawal: wanted a supporter or an address")
    return found
