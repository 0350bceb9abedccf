"""Keeps the programme as it was last read on the tracker's own disk, for a start without a log.

A cache of the topic: records as they stood there, the newest of each key, and when they were known
to be all there was. In a file of its own beside the spool, so that it can be thrown away whenever
it is of no use, and so that writing it never holds up the hits, which wait for the spool's writer.
The topic is read whole again once it can be, and what is found then replaces what was kept:
whatever became of the log meanwhile, nothing of an older one stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from shared.errors import DoorstepError, Misconfigured
from shared.log.embedded.schema import pack_headers, unpack_headers
from shared.log.record import Stored
from shared.log.topics import PROGRAMME
from shared.observability.logs import Journal
from shared.sqlite import open_database, transaction

FORMAT: Final = 1
IN_MEMORY: Final = Path(":memory:")

DDL: Final = """
create table meta(name text primary key, value text not null) strict, without rowid;
create table record(
    key blob primary key, partition integer not null, offset integer not null,
    timestamp_ms integer not null, headers blob not null, value blob not null,
    checksum integer not null
) strict;
"""
UPSERT: Final = (
    "insert into record values (?, ?, ?, ?, ?, ?, ?) on conflict(key) do update set"
    " partition = excluded.partition, offset = excluded.offset,"
    " timestamp_ms = excluded.timestamp_ms, headers = excluded.headers, value = excluded.value,"
    " checksum = excluded.checksum"
    " where (record.offset, record.headers, record.value, record.checksum)"
    " is not (excluded.offset, excluded.headers, excluded.value, excluded.checksum)"
)
"""What is there already is not written again: after each start the whole topic comes by."""


class Unfit(DoorstepError):
    """What was kept is of no use to this tracker."""


USELESS: Final = (Unfit, apsw.NotADBError, apsw.CorruptError, apsw.SQLError)


class KeptProgramme:
    """Used by one thread at a time."""

    def __init__(self, path: Path, source: str) -> None:
        """`source`: which log it is a cache of; what was kept of another is thrown away.

        Where the disk gives and takes nothing, what is kept lasts as long as the process: for want
        of a cache nobody goes unanswered.
        """
        self._journal = Journal("tracker.keeping")
        try:
            self._connection = self._of_use(path, source)
        except (DoorstepError, apsw.Error, OSError) as error:
            self._journal.warning("tracker.programme_unkept", reason=str(error))
            self._connection = _opened(IN_MEMORY, source)

    def as_of_ms(self) -> int | None:
        """When what is kept was last known to be all there is; None when nothing ever was kept."""
        for (value,) in self._connection.execute("select value from meta where name = 'as_of_ms'"):
            return int(value)
        return None

    def records(self) -> Iterator[Stored]:
        """As they stood on the topic, oldest first. A damaged one is told and left out."""
        for key, partition, offset, timestamp_ms, headers, value, checksum in list(
            self._connection.execute("select * from record order by partition, offset")
        ):
            if checksum != _checksum(key, headers, value):
                self._journal.warning(
                    "tracker.kept_record_damaged", key=key.decode("utf-8", "replace")
                )
                continue
            yield Stored(
                PROGRAMME, partition, offset, key, value, unpack_headers(headers), timestamp_ms
            )

    def keep(self, changes: Iterable[Stored], *, as_of_ms: int, whole: bool) -> None:
        """Take the newest record of some keys, in one transaction; a tombstone removes.

        `whole`: these are all there is. Raises StorageFailed or apsw.Error; then all is as before.
        """
        newest = {stored.key or b"": stored for stored in changes}
        with transaction(self._connection) as connection:
            gone = {key for key, stored in newest.items() if stored.value is None}
            if whole:
                kept = {key for (key,) in connection.execute("select key from record")}
                gone |= kept - newest.keys()
            connection.executemany("delete from record where key = ?", [(key,) for key in gone])
            connection.executemany(
                UPSERT, [_row(stored) for stored in newest.values() if stored.value is not None]
            )
            connection.execute(
                "insert into meta values ('as_of_ms', ?)"
                " on conflict do update set value = excluded.value",
                (str(as_of_ms),),
            )

    def close(self) -> None:
        self._connection.close()

    def _of_use(self, path: Path, source: str) -> apsw.Connection:
        try:
            return _opened(path, source)
        except (*USELESS, Misconfigured) as error:
            if not isinstance(error, USELESS) and not isinstance(error.__cause__, USELESS):
                raise
            self._journal.warning("tracker.kept_programme_thrown_away", reason=str(error))
        _remove(path)
        return _opened(path, source)


def _row(stored: Stored) -> tuple[bytes, int, int, int, bytes, bytes, int]:
    key, headers, value = stored.key or b"", pack_headers(stored.headers), stored.value or b""
    checksum = _checksum(key, headers, value)
    return key, stored.partition, stored.offset, stored.timestamp_ms, headers, value, checksum


def _checksum(*parts: bytes) -> int:
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    return found


def _opened(path: Path, source: str) -> apsw.Connection:
    """Raises Unfit for a file that is not ours to go on with."""
    connection = open_database(path, synchronous="FULL", cache_mb=4)
    try:
        _prepare(connection, source)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: apsw.Connection, source: str) -> None:
    found = connection.pragma("user_version")
    if found not in (0, FORMAT):
        raise Unfit(f"it is of format {found}, this tracker knows {FORMAT}")
    if (said := connection.pragma("quick_check")) != "ok":
        raise Unfit(f"the file is damaged: {said}")
    with transaction(connection):
        if found == 0:
            connection.execute(DDL)
            connection.execute("insert into meta values ('source', ?)", (source,))
            connection.pragma("user_version", FORMAT)
        ((kept_of,),) = connection.execute("select value from meta where name = 'source'")
    if kept_of != source:
        raise Unfit(f"it is of another log: {kept_of}, not {source}")


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(FileNotFoundError):
            path.with_name(name).unlink()
