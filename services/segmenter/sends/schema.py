"""The tables of sends: parts by partition, frozen sets, and reports of other partitions."""

from __future__ import annotations

from typing import Final

SENDS_DDL: Final[tuple[str, ...]] = (
    # state: `frozen` until the whole send is decided, `open` while it is released and answered,
    # `closed` when nothing is open. dirty: 1 when progress is to be reported.
    """create table send_part(
        send_id text not null, occurrence integer not null, partition integer not null,
        state text not null, as_of_ms integer not null, dirty integer not null default 0,
        reported_ms integer not null default 0,
        primary key (send_id, occurrence, partition)
    ) strict, without rowid""",
    # state null: open. settled 0: in doubt, which is open too.
    """create table frozen(
        send_id text not null, occurrence integer not null, supporter_id text not null,
        partition integer not null, message_id text not null, address_key text not null,
        variant text not null, edition text not null, areas text not null,
        state text, settled integer not null default 1, reason text,
        released integer not null default 0, frozen_ms integer not null,
        primary key (send_id, occurrence, supporter_id)
    ) strict, without rowid""",
    """create index frozen_unreleased on frozen(send_id, occurrence, partition, supporter_id)
        where released = 0 and state is null""",
    """create index frozen_outstanding on frozen(send_id, occurrence, partition)
        where released = 1 and state is null""",
    "create index frozen_by_supporter on frozen(supporter_id)",
    # What the owner of a send's key has heard of all partitions, and what it has decided.
    """create table report(
        send_id text not null, occurrence integer not null, partition integer not null,
        kind text not null, frozen integer not null, body text not null,
        primary key (send_id, occurrence, partition, kind)
    ) strict, without rowid""",
    "alter table frozen add column released_ms integer",
    # rank: who is released first, the lowest; all the same unless a domain is warmed up.
    "alter table frozen add column rank integer not null default 0",
    "drop index frozen_unreleased",
    """create index frozen_unreleased on frozen(
        send_id, occurrence, partition, rank, supporter_id
    ) where released = 0 and state is null""",
)
