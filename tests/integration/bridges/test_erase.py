"""Erasing a person: no mail any more, the segmenter forgets them, and what is left is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from shared.log.topics import SUPPRESSIONS
from shared.wire.cloudevents import decode
from shared.wire.suppressions import Suppression
from tests.end_to_end.whole_run import Pipeline, statement
from tests.integration.bridges.command_line import answer, doorstep
from tests.integration.sender.audience import people
from tests.integration.sender.processes import until

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
