"""The import of an actions file: rows to events on the log, in chunks, with a tally.

Nothing here prints. The same file a second time gives the same events, which every reader knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from services.console.action_rows import Act, Reading, act_record, read_act
from services.console.csv_files import BadRow, Row
from services.console.identities import Identities, Known
from services.console.rejects import Rejects
from services.console.supporter_import import CHUNK, without_details
from services.console.supporter_rows import Refusal
from shared.log.port import Log
from shared.log.record import Record


@dataclass(slots=True)
class ActionTally:
    """What an import did, or would do. `strangers`: people nobody has imported yet."""

    rows: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    strangers: int = 0

    @property
    def taken(self) -> int:
        return sum(self.actions.values())


@dataclass(frozen=True, slots=True)
class ActionImport:
    """How to import. `write` False: nothing is appended."""

    reading: Reading
    write: bool


def run_action_import(
    rows: Iterator[Row | BadRow],
    wanted: ActionImport,
    identities: Identities,
    log: Log,
    rejects: Rejects,
    step: Callable[[int], None],
) -> ActionTally:
    """Take all rows. `step` is told of every chunk how many rows it had."""
    tally = ActionTally()
    seen: set[tuple[str, str, str]] = set()
    while chunk := list(islice(rows, CHUNK)):
        tally.rows += len(chunk)
        acts = list(_kept(chunk, wanted.reading, tally, rejects))
        records: list[Record] = []
        for act, supporter_id in _who(acts, identities, tally):
            key = (supporter_id, act.action, act.at.isoformat())
            if key in seen:
                tally.repeated += 1
                continue
            seen.add(key)
            tally.actions[act.action] += 1
            records.append(act_record(act, supporter_id, log.partitions))
        if wanted.write and records:
            log.append(records)
        step(len(chunk))
    return tally


def _kept(
    chunk: Sequence[Row | BadRow], reading: Reading, tally: ActionTally, rejects: Rejects
) -> Iterator[Act]:
    for row in chunk:
        read = read_act(row, reading) if isinstance(row, Row) else Refusal(row.line, row.reason)
        if isinstance(read, Refusal):
            rejects.add(row.line, row.cells, read.reason)
            tally.refused[without_details(read.reason)] += 1
        else:
            yield read


def _who(
    acts: Sequence[Act], identities: Identities, tally: ActionTally
) -> Iterator[tuple[Act, str]]:
    people = [act.person for act in acts if act.person is not None]
    known: Iterator[Known | None] = iter(identities.known(people))
    for act in acts:
        if act.supporter_id is not None:
            yield act, act.supporter_id
        elif act.person is not None:
            found = next(known)
            tally.strangers += found is None
            yield act, identities.id_of(act.person, found)
