"""Where an address still stands: on topics, in the SQLite files of a home, in PostgreSQL.

Everything is read here, by the console; the address is sent to nobody, since what a database server
is asked may end up in its own log.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import zstandard

from shared.errors import NeverRetry
from shared.log.port import Log
from shared.log.record import Stored
from shared.log.topics import DAY_MS, TOPICS
from shared.store.postgres.contents import tables_of

FILES: Final = ("segmenter/people.db", "sender/ledger.db", "tracker/spool.db")
SCHEMAS: Final = ("segmenter", "sender")
MOST: Final = 64 * 1024 * 1024

_READ: Final = "the {} has read the erasure"
_PUBLISHED: Final = "it is on the log"
_FORWARDED: Final = "it is forwarded"
_LEFT_BEHIND: Final = "you remove the file: the stores are in PostgreSQL"

Needles = frozenset[bytes]


class Trace(NamedTuple):
    """A place with the address in it: how many records or rows, and until when."""

    where: str
    how_many: int
    until: str


def on_topics(log: Log, needles: Needles) -> Iterator[Trace]:
    """Every topic, also what is packed, also inside dead letters."""
    for spec in TOPICS:
        count, newest_ms = 0, 0
        follower = log.follow(spec.name)
        ends = follower.end_offsets()
        try:
            while any(follower.next_offsets().get(n, 0) < end for n, end in ends.items()):
                for stored in follower.read(timeout_seconds=0.05):
                    if _holds(stored, needles):
                        count, newest_ms = count + 1, max(newest_ms, stored.timestamp_ms)
        finally:
            follower.close()
        if count:
            yield Trace(f"topic {spec.name}", count, _until(spec.retention_ms, newest_ms))


def in_files(home: Path, needles: Needles, *, left_behind: bool) -> Iterator[Trace]:
    """Rows of the stores, column by column; batches of mails are unpacked.

    `left_behind`: the stores of segmenter and sender have moved to PostgreSQL.
    """
    for name in FILES:
        if not (home / name).is_file():
            continue
        service = name.partition("/")[0]
        with closing(
            apsw.Connection(str(home / name), flags=apsw.SQLITE_OPEN_READONLY)
        ) as database:
            database.set_busy_timeout(10_000)
            tables = [table for (table,) in database.execute(
                "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
            )]  # fmt: skip
            for table in tables:
                count = _rows_with(needles, database.execute(f"select * from {table}"))
                if count:
                    left = left_behind and service in SCHEMAS
                    until = _LEFT_BEHIND if left else _gone_when(service, table)
                    yield Trace(f"{name}, {table}", count, until)


def in_postgres(dsn: str, needles: Needles) -> Iterator[Trace]:
    """The schemas of Doorstep, as `in_files`. Raises RetryLater when they cannot be read now."""
    for schema in SCHEMAS:
        for table, rows in tables_of(dsn, schema):
            if count := _rows_with(needles, rows):
                yield Trace(f"PostgreSQL, {schema}.{table}", count, _gone_when(schema, table))


def _gone_when(service: str, table: str) -> str:
    if service == "tracker":
        return _FORWARDED
    return _PUBLISHED if table == "outbox" else _READ.format(service)


def _rows_with(needles: Needles, rows: Iterable[tuple[Any, ...]]) -> int:
    return sum(any(_cell_holds(cell, needles) for cell in row) for row in rows)


def _until(retention_ms: int | None, newest_ms: int) -> str:
    if retention_ms is None:
        return "for ever"
    gone = datetime.fromtimestamp((newest_ms + retention_ms + DAY_MS) / 1000).astimezone()
    return gone.date().isoformat()


def _holds(stored: Stored, needles: Needles) -> bool:
    texts = [stored.value or b"", stored.key or b""]
    if stored.header("content-encoding") == b"zstd" and stored.value:
        with suppress(zstandard.ZstdError):
            texts.append(
                zstandard.ZstdDecompressor().decompress(stored.value, max_output_size=MOST)
            )
    if stored.topic == "dead-letters":
        texts += _inside(stored)
    return any(needle in text.lower() for text in texts for needle in needles)


def _inside(stored: Stored) -> list[bytes]:
    """The value of the record that a letter holds."""
    try:
        said = json.loads(stored.value or b"{}")
        value = base64.b64decode(said.get("value") or "")
    except (ValueError, NeverRetry):
        return []
    try:
        return [value, zstandard.ZstdDecompressor().decompress(value, max_output_size=MOST)]
    except zstandard.ZstdError:
        return [value]


def _cell_holds(cell: object, needles: Needles) -> bool:
    if isinstance(cell, str):
        return any(needle in cell.lower().encode() for needle in needles)
    if not isinstance(cell, bytes):
        return False
    texts = [cell]
    if cell.startswith(b"\x28\xb5\x2f\xfd"):
        with suppress(zstandard.ZstdError):
            texts.append(zstandard.ZstdDecompressor().decompress(cell, max_output_size=MOST))
    return any(needle in text.lower() for text in texts for needle in needles)
