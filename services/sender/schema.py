"""The ledger's tables.

message: one row per message ever taken in, in one state. batch: the rendered mails that rows still
need. channel: the newest SES event seen. Two unique indexes carry the promise: a message once, and
one mail per inbox and send.
"""

from __future__ import annotations

from typing import Final

LEDGER_DDL: Final = (
    """create table message(
        message_id text not null,
        send_id text not null, occurrence integer not null, partition integer not null,
        supporter_id text not null, address_key text not null,
        variant text not null, edition text not null, topic text not null,
        priority integer not null, deadline_ms integer, per_inbox integer not null,
        resend integer not null, sender text not null, to_address text not null,
        batch_id text, entry integer not null,
        state text not null, settled integer not null default 1,
        attempt integer not null default 0, attempted_ms integer, settle_after_ms integer,
        reason text, ses_message_id text, updated_ms integer not null
    ) strict""",
    "create unique index message_once on message(message_id)",
    """create unique index message_inbox on message(send_id, occurrence, address_key)
        where per_inbox = 1 and state <> 'capped'""",
    """create index message_ready on message(send_id, partition) where state = 'ready'""",
    """create index message_deadline on message(deadline_ms)
        where state = 'ready' and deadline_ms is not null""",
    "create index message_attempting on message(partition) where state = 'attempting'",
    """create index message_doubt on message(settle_after_ms)
        where state = 'unconfirmed' and settled = 0""",
    "create index message_send on message(send_id, occurrence, state)",
    """create table batch(
        batch_id text primary key, content blob not null, open integer not null
    ) strict, without rowid""",
    "create table channel(partition integer primary key, last_event_ms integer not null) strict",
    """create table send_hold(
        send_id text primary key, reason text not null, at_ms integer not null
    ) strict, without rowid""",
)

PRIORITIES: Final = {"urgent": 0, "normal": 1, "low": 2}
