"""On the embedded log it is the segmenter that lets old records go."""

from __future__ import annotations

from contextlib import closing

import apsw

from shared.log.topics import DAY_MS, SUPPORTERS
from tests.integration.segmenter.town import Town

PEOPLE = 12


def test_what_is_older_than_its_topic_keeps_is_removed(town: Town) -> None:
    town.people(PEOPLE)
    held = sum(town.log.end_offsets(SUPPORTERS).values())
    with closing(apsw.Connection(str(town.home / "log.db"))) as database:
        database.execute("update record set timestamp_ms = timestamp_ms - ?", (8 * DAY_MS,))
    town.people(PEOPLE)
    town.start()

    town.until(
        lambda: sum(town.log.first_offsets(SUPPORTERS).values()) == held,
        "the old half to be gone, and nothing else",
    )
