"""What stands on `events` twice is excused only when somebody outside told it twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.ses_sandbox.event_plan import PlannedEvent
from deploy.ses_sandbox.event_queue import Acceptance, EventQueue
from shared.log.embedded.body import EmbeddedLog
from shared.log.topics import EVENTS
from shared.wire.cloudevents import encode
from shared.wire.events import Event
from tests.end_to_end.reading import TRACKER, Twice, standing_twice, whole_topic

NINE = datetime(2026, 5, 4, 9, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """A log of two partitions, and a sandbox that posted one delivery."""
    (tmp_path / "ses").mkdir()
    queue = EventQueue(tmp_path / "ses" / "events.sqlite3", fsync=False)
    delivery = PlannedEvent("ses-1", "Delivery", "delivered", ("ada@example.org",), 1, 1, "sns-1")
    queue.add([Acceptance("ses-1", 0, 1, "{}", [delivery])])
    queue.settle([(1, 2)], [])
    queue.close()
    log = EmbeddedLog(tmp_path / "log.db", 2)
    yield log
    log.close()


def post_again(home: Path) -> None:
    """SES got no answer to its first post."""
    queue = EventQueue(home / "ses" / "events.sqlite3", fsync=False)
    queue.settle([], [(1, 2)])
    queue.close()


def tell(log: EmbeddedLog, kind: str, times: int, source: str = TRACKER, **fields: Any) -> None:
    """The same fact so many times."""
    event = Event.model_validate(
        {"kind": kind, "supporter_id": "ada", "at": NINE, "ses_message_id": "ses-1", **fields}
    )
    record = encode(
        event, id=f"{kind}-1", source=source, subject="ada", time=NINE, topic=EVENTS, partition=1,
        key="ada", type_name=f"doorstep.{kind}",
    )  # fmt: skip
    for _ in range(times):
        log.append([record])


def test_what_stands_once_is_nothing(log: EmbeddedLog, tmp_path: Path) -> None:
    for kind in ("delivered", "clicked", "unsubscribed"):
        tell(log, kind, 1)
    tell(log, "delivered", 1, source="another")

    assert standing_twice(log, tmp_path, {}) == Twice(0, [])
    assert len(list(whole_topic(log, EVENTS))) == 4


def test_ses_may_repeat_what_it_posted_twice(log: EmbeddedLog, tmp_path: Path) -> None:
    post_again(tmp_path)
    tell(log, "delivered", 2)

    assert standing_twice(log, tmp_path, {}) == Twice(1, [])


def test_but_not_more_often_than_it_posted(log: EmbeddedLog, tmp_path: Path) -> None:
    tell(log, "delivered", 2)

    (said,) = standing_twice(log, tmp_path, {}).unexplained
    assert said.startswith(
        "doorstep.delivered delivered-1 of tracker stands on events 2 times, told 1 times: 1@0 ("
    )
    assert ", 1@1 (" in said


@pytest.mark.parametrize(
    ("kind", "source"), [("clicked", TRACKER), ("acted", TRACKER), ("accepted", "sender")]
)
def test_what_is_ours_alone_is_not_excused(
    log: EmbeddedLog, tmp_path: Path, kind: str, source: str
) -> None:
    post_again(tmp_path)
    tell(log, kind, 2, source)

    assert len(standing_twice(log, tmp_path, {"ada": 2}).unexplained) == 1


def test_an_unsubscribe_is_excused_as_often_as_it_was_asked(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    tell(log, "unsubscribed", 2)

    assert standing_twice(log, tmp_path, {"ada": 2}) == Twice(1, [])


def test_and_not_more_often(log: EmbeddedLog, tmp_path: Path) -> None:
    tell(log, "unsubscribed", 2)

    assert standing_twice(log, tmp_path, {"ada": 1}).told_twice == 0
