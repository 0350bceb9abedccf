"""The import of a supporters file: rows to statements on the log, in chunks, with a tally.

A chunk is appended whole. One that broke off is simply begun again: the same rows give the same
records. Nothing here prints.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from services.console.csv_files import BadRow, Row
from services.console.duplicates import Duplicates
from services.console.identities import Identities, Known, Person, same_person
from services.console.rejects import Rejects
from services.console.statements import Effect, effect, statement, statement_record
from services.console.supporter_rows import Flag, Reading, Refusal, Supporter, read_supporter
from services.console.survey import Surveyed
from services.console.unknown_postcodes import Spelt
from shared.ids import SupporterId
from shared.log.port import Log
from shared.log.record import Record
from shared.wire.supporters import SupporterChanged

CHUNK: Final = 1_000
MOST_LISTED: Final = 1_000
"""Lines kept of each notice for the report; the counts go on."""
NO_ROW: Final = "not a row of this file: another number of cells than columns, or no CSV"

Judge = Callable[[Sequence[str]], list[Spelt] | None]
"""What the postcode directory says of each postcode; None when it cannot be asked."""


@dataclass(frozen=True, slots=True)
class Written:
    """Somebody, and what was stated of them."""

    person: Person
    change: SupporterChanged


@dataclass(slots=True)
class Tally:
    """What an import did, or would do. `refused` is by reason, without what is personal in it."""

    rows: int = 0
    effects: Counter[Effect] = field(default_factory=Counter)
    flags: Counter[Flag] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    repeated: list[int] = field(default_factory=list)
    shared: list[tuple[int, int]] = field(default_factory=list)
    flagged: dict[Flag, list[int]] = field(default_factory=dict)
    """The first lines of each flag."""
    stay_unsubscribed: int = 0
    stay_suppressed: int = 0
    last: dict[tuple[int, Effect], Written] = field(default_factory=dict)
    """Partition and effect to who was written there last, to see when all has been read."""

    @property
    def taken(self) -> int:
        """Rows that were kept."""
        return sum(self.effects.values())

    def flag(self, flag: Flag, line: int) -> None:
        """Count a row that is kept, and remarked upon."""
        self.flags[flag] += 1
        lines = self.flagged.setdefault(flag, [])
        if len(lines) < MOST_LISTED:
            lines.append(line)


@dataclass(frozen=True, slots=True)
class Import:
    """What is imported, and how. `write` False: nothing is appended."""

    source: str
    at: datetime
    reading: Reading
    surveyed: Surveyed
    write: bool


def run_import(
    rows: Iterator[Row | BadRow],
    wanted: Import,
    identities: Identities,
    log: Log,
    rejects: Rejects,
    step: Callable[[int], None],
    judge: Judge,
) -> Tally:
    """Take all rows. `step` is told of every chunk how many rows it had."""
    tally, duplicates = Tally(), Duplicates()
    while chunk := list(islice(rows, CHUNK)):
        tally.rows += len(chunk)
        supporters = list(_kept(chunk, wanted.reading, duplicates, tally, rejects))
        _flag_postcodes(supporters, judge, tally)
        records = _records(supporters, wanted, identities, log.partitions, tally)
        if wanted.write and records:
            log.append(records)
        step(len(chunk))
    tally.repeated = duplicates.repeated
    tally.shared = [(each.first, each.second) for each in duplicates.shared]
    return tally


def without_details(reason: str) -> str:
    """A reason without what is special to the row, so that equal faults are counted together.

    What the row said stands first in quotes; what is quoted after it is advice.
    """
    unquoted = re.sub(r'"[^"]*"', '"..."', reason, count=1)
    return re.sub(r"on line \d+", "on an earlier line", unquoted)


def _kept(
    chunk: Sequence[Row | BadRow],
    reading: Reading,
    duplicates: Duplicates,
    tally: Tally,
    rejects: Rejects,
) -> Iterator[Supporter]:
    """The rows that are taken; the others are noted."""
    for row in chunk:
        if isinstance(row, BadRow):
            rejects.add(row.line, row.cells, row.reason)
            tally.refused[NO_ROW] += 1
            continue
        read = read_supporter(row, reading)
        found = duplicates.look(read) if isinstance(read, Supporter) else read
        if isinstance(found, Refusal):
            rejects.add(row.line, row.cells, found.reason)
            tally.refused[without_details(found.reason)] += 1
        elif found is not None:
            for flag in found.flags:
                tally.flag(flag, found.line)
            yield found


def _flag_postcodes(supporters: Sequence[Supporter], judge: Judge, tally: Tally) -> None:
    placed = [each for each in supporters if "postcode" in each.profile]
    words = judge([each.profile["postcode"] for each in placed]) or []
    for each, word in zip(placed, words, strict=False):
        if word == "unknown":
            tally.flag("postcode unknown", each.line)
        elif word == "malformed":
            tally.flag("postcode malformed", each.line)


def _records(
    supporters: Sequence[Supporter],
    wanted: Import,
    identities: Identities,
    partitions: int,
    tally: Tally,
) -> list[Record]:
    records = []
    for supporter, (supporter_id, known) in zip(
        supporters, _who(supporters, wanted, identities), strict=True
    ):
        change = statement(supporter, supporter_id, wanted.source, wanted.at)
        what = effect(change, known)
        tally.effects[what] += 1
        if known is not None:
            tally.stay_unsubscribed += known.unsubscribed
            tally.stay_suppressed += bool(known.suppressed) and not known.unsubscribed
        record = statement_record(change, supporter.digest, partitions)
        tally.last[record.partition, what] = Written(_person(supporter, wanted.source), change)
        records.append(record)
    return records


def _who(
    supporters: Sequence[Supporter], wanted: Import, identities: Identities
) -> list[tuple[SupporterId, Known | None]]:
    """The id of each, and what is known of them: by external id, else by address alone.

    An address that the file gives to several people names none of them.
    """
    named = [
        Person(wanted.source, each.external_id) if each.external_id is not None else None
        for each in supporters
    ]
    by_name = iter(identities.known([each for each in named if each is not None]))
    found = [next(by_name) if each is not None else None for each in named]
    asked = [
        index
        for index, each in enumerate(supporters)
        if found[index] is None
        and each.key is not None
        and not wanted.surveyed.shares_inbox(each.email)
    ]
    by_address = identities.known([Person(key=supporters[index].key) for index in asked])
    for index, known in zip(asked, by_address, strict=True):
        each = supporters[index]
        if known is not None and same_person(
            each.external_id, each.profile.get("first_name"), known
        ):
            found[index] = known
    return [
        (identities.id_of(_person(each, wanted.source), known), known)
        for each, known in zip(supporters, found, strict=True)
    ]


def _person(supporter: Supporter, source: str) -> Person:
    if supporter.external_id is not None:
        return Person(source, supporter.external_id)
    return Person(key=supporter.key)
