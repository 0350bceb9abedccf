"""The SQL of what is known of the account: one row, shared by all senders on the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from services.sender.account import Account
from shared.store.database import Database


@dataclass(frozen=True, slots=True)
class Known:
    """`asked_ms`: when SES was last asked, by whoever; `known_ms`: when it last answered."""

    asked_ms: int
    known_ms: int
    account: Account | None


NOTHING = Known(0, 0, None)


def read_account(database: Database) -> Known:
    """What is known."""
    for asked_ms, known_ms, said in database.execute(
        "select asked_ms, known_ms, said from account where one = 1"
    ):
        return Known(asked_ms, known_ms, Account.from_json(said) if said else None)
    return NOTHING


def claim(database: Database, now_ms: int, before_ms: int) -> bool:
    """Whether it is for us to ask: nobody did since `before_ms`. Inside a unit."""
    found = database.execute(
        "insert into account(one, asked_ms, known_ms, said) values (1, ?, 0, null)"
        " on conflict (one) do update set asked_ms = excluded.asked_ms"
        " where account.asked_ms <= ? returning one",
        (now_ms, before_ms),
    ).fetchall()
    return bool(found)


def write_account(database: Database, account: Account, now_ms: int) -> None:
    """Write down what SES answered to who claimed. Inside a unit."""
    database.execute(
        "update account set known_ms = ?, said = ? where one = 1", (now_ms, account.as_json())
    )
