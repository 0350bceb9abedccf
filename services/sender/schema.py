"""The ledger's tables, step by step as they came.

message: one row per message ever taken in, in one state; entry_no rises in the order of intake.
to_address is empty once its person was erased.
batch: the rendered mails that rows still need. heard_slot: when something of SES reached us.
intake_turn: gives out numbers and stays empty. pace: what all senders on one PostgreSQL store may
send together. account: what SES said of it.
send_fate: what SES told of a send's mails, counted by minute; send_trouble: which bounces and
complaints were counted. warm_up_day: mails of a warming domain by day.
suppression_list: how far SES's own was read.
soft_bounce: of an inbox, lately; soft_suppression: which inboxes get no mail, and until when.
Two unique indexes carry the promise: a message once, and one mail per inbox and send.
"""

from __future__ import annotations

from typing import Final

_COLUMNS: Final = (
    "message_id, send_id, occurrence, partition, supporter_id, address_key, variant, edition,"
    " topic, priority, deadline_ms, per_inbox, resend, sender, to_address, batch_id, entry, state,"
    " settled, attempt, attempted_ms, settle_after_ms, reason, ses_message_id, updated_ms"
)
_MESSAGE: Final = """
        message_id text not null,
        send_id text not null, occurrence integer not null, partition integer not null,
        supporter_id text not null, address_key text not null,
        variant text not null, edition text not null, topic text not null,
        priority integer not null, deadline_ms integer, per_inbox integer not null,
        resend integer not null, sender text not null, to_address text not null,
        batch_id text, entry integer not null,
        state text not null, settled integer not null default 1,
        attempt integer not null default 0, attempted_ms integer, settle_after_ms integer,
        reason text, ses_message_id text, updated_ms integer not null"""


def _indexes(ready: str) -> tuple[str, ...]:
    return (
        "create unique index message_once on message(message_id)",
        """create unique index message_inbox on message(send_id, occurrence, address_key)
            where per_inbox = 1 and state <> 'capped'""",
        f"create index message_ready on message({ready}) where state = 'ready'",
        """create index message_deadline on message(deadline_ms)
            where state = 'ready' and deadline_ms is not null""",
        "create index message_attempting on message(partition) where state = 'attempting'",
        """create index message_doubt on message(settle_after_ms)
            where state = 'unconfirmed' and settled = 0""",
        "create index message_send on message(send_id, occurrence, state)",
    )


LEDGER_DDL: Final = (
    f"create table message({_MESSAGE}) strict",
    *_indexes("send_id, partition"),
    """create table batch(
        batch_id text primary key, content blob not null, open integer not null
    ) strict, without rowid""",
    "create table channel(partition integer primary key, last_event_ms integer not null) strict",
    """create table send_hold(
        send_id text primary key, reason text not null, at_ms integer not null
    ) strict, without rowid""",
    # Rows have numbers of their own since PostgreSQL, which has no rowid, keeps ledgers too.
    "alter table message rename to message_before",
    f"create table message(entry_no integer primary key, {_MESSAGE}) strict",
    f"insert into message({_COLUMNS}) select {_COLUMNS} from message_before",
    "drop table message_before",
    *_indexes("send_id, partition, entry_no"),
    "create table intake_turn(turn_no integer primary key autoincrement) strict",
    """create table pace(
        account integer primary key, rate real not null, tokens real not null, at real not null,
        slowed_at real not null
    ) strict""",
    # Whether SES told of a mail: silence about another proves something only beside it.
    "drop table channel",
    "create table heard_slot(begin_ms integer primary key) strict",
    "alter table message add column heard_ms integer",
    "update message set heard_ms = updated_ms where state = 'accepted'",
    """create index message_unheard on message(attempted_ms)
        where state = 'accepted' and heard_ms is null""",
    # The rows of a person, as long as they say where the person is reached.
    "create index message_supporter on message(supporter_id) where to_address <> ''",
    "create index message_address on message(address_key) where to_address <> ''",
    # What SES said of the account, for all senders: `said` is JSON, null before the first answer.
    """create table account(
        one integer primary key, asked_ms integer not null, known_ms integer not null, said text
    ) strict""",
    """create table send_fate(
        send_id text not null, since_ms integer not null, slot_ms integer not null,
        partition integer not null, told integer not null, bounced integer not null,
        complained integer not null, primary key (send_id, since_ms, slot_ms, partition)
    ) strict, without rowid""",
    """create table warm_up_day(
        domain text not null, day text not null, sent integer not null, primary key (domain, day)
    ) strict, without rowid""",
    """create table soft_bounce(
        address_key text not null, message_id text not null, at_ms integer not null,
        primary key (address_key, message_id)
    ) strict, without rowid""",
    """create table soft_suppression(
        address_key text primary key, partition integer not null, until_ms integer not null
    ) strict, without rowid""",
    """create table suppression_list(
        one integer primary key, asked_ms integer not null, since_ms integer not null,
        newest_ms integer not null, token text
    ) strict""",
    """create table send_trouble(
        trouble text primary key, told_ms integer not null
    ) strict, without rowid""",
)

FIRST_NUMBER: Final = 2**40
"""Numbers given by us begin here; below are those of rows from before there were any."""

ROWS_A_TURN: Final = 2**20

PRIORITIES: Final = {"urgent": 0, "normal": 1, "low": 2}
