"""What the sender answers about its ledger, on both bodies, and while the server is away."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest
from starlette.applications import Starlette

from services.sender.account import Account, Limits
from services.sender.account_rows import claim, write_account
from services.sender.ledger import EVERYTHING, Ledger
from services.sender.questions import Questions
from services.sender.schema import LEDGER_DDL
from shared.store.port import Store, Unit
from shared.store.postgres.store import PostgresStore
from shared.wire.batches import MessageBatch
from tests.integration.sender.audience import entry, people
from tests.real_postgres import PostgresServer

LIMITS = Limits(rate=None, reserve=10, ask_seconds=60)
FIRST, SECOND, THIRD = people(3, "asked")


@pytest.fixture
def store(ledger: Store[Unit]) -> Store[Unit]:
    entries = tuple(entry("spring", person) for person in (FIRST, SECOND, THIRD))
    batch = MessageBatch(batch_id="b", partition=0, entries=entries)
    with ledger.unit() as unit:
        rows = Ledger(unit.connection)
        rows.take_in([(batch, b"")], 1_000)
        rows.attempt(rows.pick("spring", [0], 2), 2_000)
        rows.accept([(FIRST.message_of("spring"), "ses-1")], 3_000)
        rows.doubt([(SECOND.message_of("spring"), "silence")], 9_000, 3_000)
        rows.hold({"spring": "not verified"}, 3_000)
    return ledger


async def ask(store: Store[Unit], path: str) -> httpx.Response:
    with closing(store.reader()) as reader:
        transport = httpx.ASGITransport(Starlette(routes=Questions(reader, LIMITS).routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://sender") as client:
            return await client.get(path)


def answer(store: Store[Unit], path: str) -> httpx.Response:
    import asyncio

    return asyncio.run(ask(store, path))


def test_the_books_of_a_send(store: Store[Unit]) -> None:
    assert answer(store, "/ask/books?send=spring").json() == {
        "states": {"accepted": 1, "in doubt": 1, "ready": 1}, "held": "not verified",
        "holds_all": False, "account_stopped": None, "account_remarks": [],
    }  # fmt: skip
    assert answer(store, "/ask/books?send=autumn").json() == {
        "states": {}, "held": None, "holds_all": False, "account_stopped": None,
        "account_remarks": [],
    }  # fmt: skip
    assert answer(store, "/ask/books").status_code == 400


def test_what_became_of_one_message(store: Store[Unit]) -> None:
    path = f"/ask/outcome?send=spring&supporter={FIRST.supporter_id}"
    (found,) = answer(store, path).json()["outcomes"]
    assert (found["state"], found["settled"], found["ses_message_id"]) == (
        "accepted",
        True,
        "ses-1",
    )
    assert found["attempted_at"] == "1970-01-01T00:00:02+00:00"
    assert answer(store, "/ask/outcome?send=spring&supporter=x").json() == {"outcomes": []}


def test_a_ledger_that_was_restored_holds_every_send(store: Store[Unit]) -> None:
    with store.unit() as unit:
        Ledger(unit.connection).hold({EVERYTHING: "restored"}, 4_000)
    said = answer(store, "/ask/books?send=autumn").json()
    assert (said["held"], said["holds_all"]) == ("restored", True)


def test_the_account_is_told_as_ses_told_it(store: Store[Unit]) -> None:
    assert answer(store, "/ask/account").json() == {
        "known_at": None, "said": None, "permitted_rate": 1.0, "quota_left": None,
        "stopped": None, "remarks": [], "sent_of_warm_up": {},
    }  # fmt: skip
    told = Account(True, False, "PROBATION", 200.0, 190.0, 14.0)
    with store.unit() as unit:
        assert claim(unit.connection, 5_000, 4_000)
        write_account(unit.connection, told, 6_000)
    said = answer(store, "/ask/account").json()
    assert (said["permitted_rate"], said["quota_left"]) == (14 * 0.9, 0)
    assert said["known_at"] == "1970-01-01T00:00:06+00:00"
    assert "daily quota" in said["stopped"]
    assert len(said["remarks"]) == 2
    assert "daily quota" in answer(store, "/ask/books?send=spring").json()["account_stopped"]


def test_one_of_several_senders_asks_ses(store: Store[Unit]) -> None:
    with store.unit() as unit:
        assert claim(unit.connection, 5_000, 4_000)
    with store.unit() as unit:
        assert not claim(unit.connection, 5_500, 4_500)
        assert claim(unit.connection, 6_000, 5_000)


def test_a_server_that_is_away_is_said(postgres_server: PostgresServer) -> None:
    store = PostgresStore(postgres_server.dsn(), "sender", LEDGER_DDL)
    postgres_server.stop()
    try:
        away = answer(store, "/ask/books?send=spring")
    finally:
        postgres_server.start()
    assert away.status_code == 503
    assert "refused" in away.text
    assert answer(store, "/ask/books?send=spring").status_code == 200
    store.close()
