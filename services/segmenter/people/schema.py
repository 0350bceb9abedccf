"""The tables of people: who they are, what they did, what stops their mail, where they belong.

Several segmenters may share them. All that is about a person is written by the owner of the
person's partition alone; `suppression` is the one table that each of them writes.

`supporter` is narrow, because counts scan it; what only a mail or a reader of one profile needs
stands in `profile`, beside the memory that its columns are made from. Times are milliseconds since
the epoch. Everything but the keys follows from the memory, the events and the suppressions.
"""

from __future__ import annotations

from typing import Final

from services.segmenter.people import samples

POSTGRES_DDL: Final[tuple[str, ...]] = samples.POSTGRES_DDL
"""What only PostgreSQL needs besides."""

PEOPLE_DDL: Final[tuple[str, ...]] = (
    # standing: `mailable`, or the first reason why not (see profiles.Standing).
    # language is case-folded; bucket is the position in the sample without a seed.
    """create table supporter(
        supporter_id text primary key, partition integer not null,
        address_key text, standing text not null, language text,
        place_status text, latitude real, longitude real,
        bucket integer not null, joined_at integer
    ) strict, without rowid""",
    "create index supporter_by_partition on supporter(partition, supporter_id)",
    """create index supporter_by_address on supporter(address_key)
        where address_key is not null""",
    # attributes and areas (kind to [code, provenance]) are JSON objects, flags a JSON array.
    # memory is what the fold knows: each field with its time (see profiles.Profile); withdrawn is
    # what we have said on `suppressions` about this person (see withdrawals.Withdrawn).
    """create table profile(
        supporter_id text primary key, email text, first_name text, last_name text,
        language text, postcode text, attributes text not null, areas text not null,
        consent_wording text, consent_source text, consent_at integer,
        unsubscribed_at integer, bounced_at integer, complained_at integer,
        source text, flags text not null, memory blob not null, withdrawn text
    ) strict, without rowid""",
    """create table supporter_tag(
        tag text not null, supporter_id text not null, primary key (tag, supporter_id)
    ) strict, without rowid""",
    # given: 1 when an import said so, 0 when it follows from the postcode; provenance says which.
    """create table supporter_area(
        kind text not null, supporter_id text not null, code text not null,
        given integer not null, provenance text not null, primary key (kind, supporter_id)
    ) strict, without rowid""",
    "create index supporter_area_by_code on supporter_area(kind, code, supporter_id)",
    # shape: text, number or yes_no; value is text that sorts as the values do (attribute_values).
    """create table supporter_attribute(
        name text not null, supporter_id text not null, shape text not null, value text not null,
        primary key (name, supporter_id)
    ) strict, without rowid""",
    """create table identity(
        source text not null, external_id text not null, supporter_id text not null,
        first_at integer not null, primary key (source, external_id, supporter_id)
    ) strict, without rowid""",
    # One row per message a person was meant to get; state is its final kind (shared.wire.events).
    # opened, clicked: by a person, not a machine.
    """create table delivery(
        send_id text not null, supporter_id text not null, occurrence integer not null,
        variant text, edition text, state text,
        accepted_at integer, delivered_at integer, bounced_at integer,
        opened_at integer, clicked_at integer, acted_at integer,
        primary key (send_id, supporter_id, occurrence)
    ) strict, without rowid""",
    """create table action(
        event_id text primary key, supporter_id text not null, action text not null,
        at integer not null, send_id text
    ) strict, without rowid""",
    "create index action_by_supporter on action(supporter_id, action, at)",
    "create index action_by_name on action(action, at, supporter_id)",
    """create index action_by_send on action(send_id, supporter_id, action)
        where send_id is not null""",
    # subject is an address key or a supporter_id; partition and log_offset say which record of the
    # topic made the row, reading which reading of it last saw that record (see suppressions).
    """create table suppression(
        subject text not null, scope text not null, reason text not null, at integer not null,
        partition integer not null, log_offset integer not null, reading integer not null,
        primary key (subject, scope)
    ) strict, without rowid""",
    # In which version a segment was seeded among the people of a partition.
    """create table live_segment(
        segment text not null, partition integer not null, version text not null,
        seeded_at integer not null, primary key (segment, partition)
    ) strict, without rowid""",
    # Up to when time alone has been let to move people of a partition.
    "create table sweep(partition integer primary key, swept_at integer not null) strict",
    """create table membership(
        segment text not null, partition integer not null, supporter_id text not null,
        since integer not null, primary key (segment, partition, supporter_id)
    ) strict, without rowid""",
)

LATER_DDL: Final[tuple[str, ...]] = (
    # One row per open or click of a message: `words` and `visitor` by its user agent (see
    # shared.classification), `agent` and `version` what was last said of it. counted: 1 when it is
    # a person's and settled; due_at: when it is to be judged, null when nothing is open.
    """create table hit(
        supporter_id text not null, send_id text not null, occurrence integer not null,
        event_id text not null, partition integer not null, kind text not null, link integer,
        at integer not null, method text not null, words text not null, visitor text not null,
        agent text not null, version integer not null, counted integer not null,
        seen_at integer not null, due_at integer,
        primary key (supporter_id, send_id, occurrence, event_id)
    ) strict, without rowid""",
    "create index hit_due on hit(partition, due_at) where due_at is not null",
    # What a store that is older than this table had counted stays counted.
    """insert into hit
    select d.supporter_id, d.send_id, d.occurrence, 'before:opened', s.partition, 'opened', null,
        d.opened_at, '', 'unknown', '', 'unknown', 1, 1, d.opened_at, null
    from delivery d join supporter s on s.supporter_id = d.supporter_id
    where d.opened_at is not null""",
    """insert into hit
    select d.supporter_id, d.send_id, d.occurrence, 'before:clicked', s.partition, 'clicked', null,
        d.clicked_at, '', 'unknown', '', 'unknown', 1, 1, d.clicked_at, null
    from delivery d join supporter s on s.supporter_id = d.supporter_id
    where d.clicked_at is not null""",
    # The record of what they let us see of them: all, links or none.
    "alter table profile add column tracking text",
    "alter table profile add column tracking_wording text",
    "alter table profile add column tracking_source text",
    "alter table profile add column tracking_at integer",
)
"""Added when the tables of sends were there: it comes behind them."""
