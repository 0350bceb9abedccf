"""A member of a group in a process of its own: copies `in` to `out`, saying what it does.

Usage: python group_process.py BODY FOLDER NAME LEASE_SECONDS. Writes one JSON line per turn that
changed anything. Commits each record as `NAME:text`. While a file FOLDER/hold-NAME exists, it waits
between reading and committing.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from shared.errors import Fenced
from shared.log.record import Position, Record, TopicPartition
from tests.contract.log.conftest import BODIES


def main(body: str, folder: str, name: str, lease: str) -> None:
    log = BODIES[body](Path(folder))
    hold = Path(folder) / f"hold-{name}"
    member = log.join("copy", ["in"], lease_seconds=float(lease))

    def say(**fields: object) -> None:
        print(json.dumps(fields), flush=True)

    while True:
        polled = member.poll(0.05, 20)
        if polled.assigned or polled.revoking or polled.lost:
            say(owned=sorted(member.owned() - polled.revoking), lost=sorted(polled.lost))
        if not polled.records:
            continue
        outputs = [
            Record("out", stored.partition, stored.key, f"{name}:".encode() + (stored.value or b""))
            for records in polled.records.values()
            for stored in records
        ]
        say(read=len(outputs))
        while hold.exists():
            time.sleep(0.01)
        positions = {
            place: Position(records[-1].offset + 1) for place, records in polled.records.items()
        }
        try:
            member.commit(polled.membership, outputs, positions)
            say(committed=len(outputs))
        except Fenced:
            say(fenced=len(outputs))
            member.rewind([TopicPartition("in", number) for number in member.owned()])


if __name__ == "__main__":
    main(*sys.argv[1:])
