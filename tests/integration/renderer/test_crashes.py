"""The renderer killed at each of its commit points: every mail made once, under its own id."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.renderer.press import (
    Press,
    audience_batches,
    audience_record,
    message_ids,
)
from tests.integration.sender.processes import until

BATCHES = 24
"""The renderer takes four at a time: two kills leave some for the last life."""


@pytest.mark.parametrize("point", ["stateless.before_commit", "stateless.after_commit"])
def test_after_a_crash_every_message_is_there_once_under_its_id(tmp_path: Path, point: str) -> None:
    batches = list(audience_batches(BATCHES))
    with Press(tmp_path) as press:
        press.log.append([audience_record(batch) for batch in batches])

        assert press.start(fail_at=f"{point}:1").wait() == -9
        first = len(press.printed())
        assert press.start(fail_at=f"{point}:3").wait() == -9
        second = len(press.printed())
        last = press.start()
        until(lambda: len(press.printed()) >= BATCHES, "every batch")
        assert last.stop() == 0

        assert (first > 0) == (point == "stateless.after_commit"), "the commit is the border"
        assert first < second < BATCHES, "each life went on where the one before it ended"
        printed = press.printed()
        found = {batch.batch_id: [one.message_id for one in batch.entries] for batch in printed}
        assert Counter(batch.batch_id for batch in printed).most_common(1)[0][1] == 1
        assert found == message_ids(batches)
        assert [one.refusal for batch in printed for one in batch.entries if not one.mail] == []
        assert sum(press.log.end_offsets("dead-letters").values()) == 0
