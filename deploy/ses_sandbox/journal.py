"""What happened to each SendEmail request: one JSON line per request, and the sums of them.

`requests.jsonl` is for auditors, the sums for `GET /sandbox/report`. Both say the same, because
the sums are made from the lines, at start from those of earlier runs. No address is written here.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from deploy.ses_sandbox.faults import FaultName
from deploy.ses_sandbox.submission import Tags
from deploy.ses_sandbox.timestamps import iso_millis

MESSAGE_TAG: Final = "m"

Outcome = Literal["accepted", "refused"]


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One request. `answer` is the HTTP status the client was given, null for none.

    `request` numbers requests over all runs; it is null on a line that was missing after a crash
    and written from the mail. `reason` is the error name of a refusal, or the fault without one.
    """

    at_ms: int
    request: int | None
    outcome: Outcome
    answer: int | None
    reason: str | None
    fault: FaultName | None
    message_id: str | None
    recipients: int
    tags: Tags

    def to_json(self) -> dict[str, object]:
        """The line as it is written."""
        return {
            "at": iso_millis(self.at_ms),
            "request": self.request,
            "outcome": self.outcome,
            "answer": self.answer,
            "reason": self.reason,
            "fault": self.fault,
            "message_id": self.message_id,
            "recipients": self.recipients,
            "tags": dict(self.tags),
        }


class DamagedJournal(Exception):
    """A line in the middle of the journal cannot be read; no crash of ours does that."""


class Sums:
    """Counts of all lines so far."""

    def __init__(self) -> None:
        self.last_request = 0
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.acceptances_by_message: Counter[str] = Counter()

    def add(self, line: Mapping[str, object]) -> None:
        """Count one line."""
        number, fault, tags = line["request"], line["fault"], line["tags"]
        if isinstance(number, int):
            self.last_request = max(self.last_request, number)
        if fault is not None:
            self.faults[str(fault)] += 1
        if line["outcome"] == "refused":
            self.refused[str(line["reason"])] += 1
            return
        self.accepted += 1
        if isinstance(tags, dict) and MESSAGE_TAG in tags:
            self.acceptances_by_message[tags[MESSAGE_TAG]] += 1

    def report(self) -> dict[str, object]:
        """The sums as JSON: doubled messages apart, then acceptances of every message."""
        by_message = self.acceptances_by_message
        doubled = {message: count for message, count in by_message.items() if count > 1}
        return {
            "requests": self.accepted + sum(self.refused.values()),
            "accepted": self.accepted,
            "refused": dict(self.refused),
            "faults": dict(self.faults),
            "messages": len(by_message),
            "doubled": doubled,
            "acceptances_by_m": dict(by_message),
        }


class Journal:
    """Appends lines to the file. A line that a crash tore is removed at the next start."""

    def __init__(self, path: Path) -> None:
        """Raises DamagedJournal."""
        self.sums = Sums()
        self.accepted_ids: set[str] = set()
        _cut_torn_line(path)
        for line in _read(path):
            self.sums.add(line)
            if line["outcome"] == "accepted":
                self.accepted_ids.add(str(line["message_id"]))
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, lines: Sequence[JournalLine]) -> None:
        """Write lines in one go, then count them."""
        written = [line.to_json() for line in lines]
        _write_all(self._file, "".join(json.dumps(line) + "\n" for line in written).encode())
        for line in written:
            self.sums.add(line)

    def forget_ids(self) -> None:
        """Drop what only the recovery at start needs."""
        self.accepted_ids.clear()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _read(path: Path) -> Iterator[dict[str, object]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            try:
                line = json.loads(text)
            except ValueError as error:
                raise DamagedJournal(
                    f"{path}, line {number}: {error}; mend the line, or start on another directory"
                ) from error
            yield line


def _cut_torn_line(path: Path) -> None:
    """A file that was being written when the process was killed may lack its last line end."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        for start in _backwards(size):
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _backwards(size: int) -> Iterable[int]:
    step = 64 * 1024
    return range((size - 1) // step * step, -1, -step) if size else ()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
