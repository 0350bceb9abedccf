"""The tables of the embedded log, and bringing a file up to them.

record, head: the topics. position: where groups stand. grp, member, target, owner: groups.
publisher: cursors of publishers. In a compacted topic a key has one row, its newest.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgpack

from shared.errors import Misconfigured
from shared.log.record import Headers, TopicSpec
from shared.sqlite import transaction

VERSION = 1
_NO_HEADERS = msgpack.packb(())

DDL = """
create table meta(name text primary key, value text not null) strict, without rowid;
create table topic(
    id integer primary key, name text not null unique, partitions integer not null,
    compacted integer not null, retention_ms integer
) strict;
create table head(
    topic integer not null, partition integer not null,
    first_offset integer not null default 0, next_offset integer not null default 0,
    primary key (topic, partition)
) strict, without rowid;
create table record(
    topic integer not null, partition integer not null, offset integer not null,
    timestamp_ms integer not null, compact_key blob, key blob, headers blob not null, value blob
) strict;
create unique index record_place on record(topic, partition, offset);
create unique index record_key on record(topic, partition, compact_key)
    where compact_key is not null;
create table position(
    grp text not null, topic integer not null, partition integer not null,
    next_offset integer not null, metadata text not null default '',
    primary key (grp, topic, partition)
) strict, without rowid;
create table grp(name text primary key, generation integer not null, topics text not null)
    strict, without rowid;
create table member(
    grp text not null, member_id text not null, lease_until real not null,
    primary key (grp, member_id)
) strict, without rowid;
create table target(
    grp text not null, partition integer not null, member_id text not null,
    primary key (grp, partition)
) strict, without rowid;
create table owner(
    grp text not null, partition integer not null, member_id text not null,
    since_generation integer not null, primary key (grp, partition)
) strict, without rowid;
create table publisher(name text primary key, epoch integer not null, cursor text not null)
    strict, without rowid;
"""


def prepare(connection: apsw.Connection, topics: Sequence[TopicSpec], partitions: int) -> None:
    """Create what is missing. Raises Misconfigured when the file was made for another P."""
    with transaction(connection):
        if connection.pragma("user_version") == 0:
            for statement in DDL.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute("insert into meta values ('partitions', ?)", (str(partitions),))
            connection.pragma("user_version", VERSION)
        (kept,) = next(connection.execute("select value from meta where name = 'partitions'"))
        if int(kept) != partitions:
            raise Misconfigured(
                f"the log was made with {kept} partitions, the settings say {partitions}; the "
                f"number is never altered in place: set DOORSTEP_PARTITIONS={kept}"
            )
        for spec in topics:
            _prepare_topic(connection, spec, spec.partitions or partitions)


def _prepare_topic(connection: apsw.Connection, spec: TopicSpec, partitions: int) -> None:
    connection.execute(
        "insert into topic(name, partitions, compacted, retention_ms) values (?, ?, ?, ?)"
        " on conflict(name) do nothing",
        (spec.name, partitions, int(spec.compacted), spec.retention_ms),
    )
    connection.execute(
        "insert into head(topic, partition)"
        " select t.id, n.value from topic t, json_each(?) n where t.name = ?"
        " on conflict do nothing",
        ("[" + ",".join(str(n) for n in range(partitions)) + "]", spec.name),
    )


def pack_headers(headers: Headers) -> bytes:
    """Headers as one blob."""
    packed: bytes = msgpack.packb(headers) if headers else _NO_HEADERS
    return packed


def unpack_headers(blob: bytes) -> Headers:
    """The inverse of `pack_headers`."""
    return tuple((name, value) for name, value in msgpack.unpackb(blob)) if len(blob) > 1 else ()
