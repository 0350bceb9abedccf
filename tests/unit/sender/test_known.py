"""What events say of a message, folded: outcomes only move up, and nothing is held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.sender.known import Known, KnownMessages
from shared.wire.events import Event, EventKind

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def known(tmp_path: Path) -> Iterator[KnownMessages]:
    made = KnownMessages(tmp_path)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == [], "nothing is left of it"


def said(kind: EventKind, source: str = "sender", **fields: Any) -> tuple[str, Event, str]:
    event = Event.model_validate({"kind": kind, "supporter_id": "s", "at": NOW, **fields})
    return "m", event, source


def test_a_doubt_that_ses_lifts_is_accepted_and_told_so(known: KnownMessages) -> None:
    known.hear([said("unconfirmed", settled=False, attempt=1)])
    assert not known.of(["m"])["m"].final
    known.hear([said("ses_sent", "tracker", ses_message_id="1")])
    found = known.of(["m"])["m"]
    assert (found.kind, found.said, found.ses_message_id) == ("accepted", "unconfirmed", "1")
    known.hear([said("accepted", attempt=1)])
    assert known.of(["m"])["m"].said == "accepted"


@pytest.mark.parametrize("split", [True, False])
def test_a_later_attempt_wins_and_what_is_certain_stays(
    known: KnownMessages, *, split: bool
) -> None:
    events = [
        said("unconfirmed", settled=False, attempt=1),
        said("unconfirmed", settled=True, attempt=1, reason="left"),
        said("unconfirmed", settled=False, attempt=2),
        said("failed", attempt=2, reason="refused"),
        said("unconfirmed", settled=False, attempt=1),
    ]
    for part in [[each] for each in events] if split else [events]:
        known.hear(part)
    assert known.of(["m"]) == {"m": Known("failed", "refused", settled=True, attempt=2)}


def test_an_event_of_ses_that_comes_first_proves_acceptance(known: KnownMessages) -> None:
    known.hear([said("delivered", "tracker"), said("unconfirmed", settled=False, attempt=1)])
    assert known.of(["m", "another"])["m"].kind == "accepted"


def test_all_of_it_comes_back_in_parts(known: KnownMessages) -> None:
    _, event, source = said("accepted", attempt=1)
    known.hear([(f"{number:03}", event, source) for number in range(25)])
    parts = list(known.all(10))
    assert [len(part) for part in parts] == [10, 10, 5]
    assert {message for part in parts for message in part} == {f"{n:03}" for n in range(25)}
