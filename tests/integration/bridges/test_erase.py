"""Erasing a person: no mail any more, nobody knows them any more, and what is left is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from shared.log.topics import SUPPRESSIONS
from shared.wire.cloudevents import decode
from shared.wire.suppressions import Suppression
from tests.end_to_end.whole_run import (
    CAMPAIGN,
    EVERYBODY,
    TEMPLATE,
    Pipeline,
    statement,
)
from tests.integration.bridges.command_line import answer, doorstep
from tests.integration.sender.audience import people
from tests.integration.sender.ledgers import LedgerSchema
from tests.integration.sender.processes import until
from tests.integration.sender.station import Body

TABLES = ("supporter", "profile", "supporter_tag")


def rows_of(here: Pipeline, supporter_id: str) -> int:
    path = here.home / "segmenter" / "people.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as database:
        return sum(
            database.execute(
                f"select count(*) from {table} where supporter_id = ?", (supporter_id,)
            ).fetchone()[0]
            for table in TABLES
        )


def test_an_erased_person_is_suppressed_and_forgotten_and_the_rest_is_named(tmp_path: Path) -> None:
    one, other = people(2, "erase")
    with Pipeline(tmp_path) as here:
        here._running["segmenter"].wait_for_line("loop.ownership")
        here.tell(statement(one, "everybody"), statement(other, "everybody"))
        until(lambda: rows_of(here, one.supporter_id) == 3, "both to be known")
        until(lambda: rows_of(here, other.supporter_id) == 3, "both to be known")

        said = answer(here, "erase", one.address, "--yes")
        assert said == {"supporter_id": one.supporter_id, "suppressed": 2}
        until(lambda: rows_of(here, one.supporter_id) == 0, "the segmenter to forget")
        assert rows_of(here, other.supporter_id) == 3

        follower = here.log.follow(SUPPRESSIONS)
        found = [decode(stored).data for stored in follower.read()]
        follower.close()
        assert {
            (each.subject, each.scope, each.reason)
            for each in found
            if isinstance(each, Suppression)
        } == {
            (one.supporter_id, "everything", "erased"),
            (one.address_key, "everything", "erased"),
        }

        left = answer(here, "erase", one.address, "--verify", code=75)["found"]
        assert [each["where"] for each in left] == ["topic supporters"]
        assert left[0]["until"] > "2026", "retention takes it away"
        doorstep(here, "erase", "nobody@example.com", "--verify")

        # A later import brings them back as data, never as a recipient.
        here.tell(statement(one, "everybody"))
        until(lambda: rows_of(here, one.supporter_id) == 3, "what an import says of them")
        sent = answer(here, "erase", one.supporter_id, "--yes")
        assert sent["supporter_id"] == one.supporter_id
        until(lambda: rows_of(here, one.supporter_id) == 0, "the segmenter to forget again")


@pytest.fixture(params=["sqlite", "postgres"])
def body(request: pytest.FixtureRequest) -> Body:
    """What gives the services stores of their own."""
    if request.param == "sqlite":
        return None
    server = request.getfixturevalue("postgres_server")
    return server.dsn  # type: ignore[no-any-return]


def test_after_an_erasure_the_address_stands_in_no_store(tmp_path: Path, body: Body) -> None:
    """One send has gone to them, SES takes no mail of another yet."""
    audience = people(5, "forget")
    one, other = audience[0], audience[1]
    here = Pipeline(tmp_path)
    if body is not None:
        here.settings["postgres"] = body()
        here.books = LedgerSchema(str(here.settings["postgres"]))
    stores = (
        ("segmenter/people.db, profile", "sender/ledger.db, message", "sender/ledger.db, batch")
        if body is None else (
            "PostgreSQL, segmenter.profile", "PostgreSQL, sender.message",
            "PostgreSQL, sender.batch",
        )
    )  # fmt: skip

    def places(address: str) -> dict[str, str]:
        """Where it stands, and until when."""
        found = answer(here, "erase", address, "--verify", code=75)["found"]
        return {each["where"]: each["until"] for each in found}

    with here:
        here.tell(*(statement(person, "everybody") for person in audience))
        here.apply(CAMPAIGN, TEMPLATE, EVERYBODY)
        here.launch("gone")
        here.wait_for_states("gone", accepted=len(audience))
        here.sandbox.switch(faults={"throttle_429": 1.0})
        here.launch("held")
        until(lambda: here.states("held").total() == len(audience), "the ledger to take them in")
        before = places(one.address)
        assert set(stores) <= before.keys()
        assert before[stores[1]] == before[stores[2]] == "the sender has read the erasure"

        doorstep(here, "erase", one.address, "--yes")

        until(lambda: here.states("held")["suppressed"] == 1, "their mail to be stopped")
        until(
            lambda: all(where.startswith("topic ") for where in places(one.address)),
            "the stores to forget",
        )
        assert places(one.address).keys() == {
            "topic supporters", "topic audience", "topic messages",
        }  # fmt: skip
        assert set(stores) <= places(other.address).keys(), "nobody else is forgotten"
        assert here.states("gone") == {"accepted": len(audience)}
        why = answer(here, "why", "gone", one.supporter_id)
        assert why["outcome"]["state"] == "accepted"
