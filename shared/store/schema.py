"""The tables that every store has besides those of its service, in order of versions."""

from __future__ import annotations

from typing import Final

COMMON_DDL: Final = (
    "create table store(store_id text not null) strict",
    """create table input_position(
        topic text not null, partition integer not null, next_offset integer not null,
        primary key (topic, partition)
    ) strict, without rowid""",
    """create table ownership(
        partition integer primary key, epoch integer not null, last_seq integer not null default 0
    ) strict""",
    """create table outbox(
        partition integer not null, seq integer not null, topic text not null,
        out_partition integer not null, key blob, value blob, headers blob not null,
        timestamp_ms integer not null, primary key (partition, seq)
    ) strict""",
)
