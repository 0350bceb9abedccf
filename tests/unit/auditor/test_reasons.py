"""The auditor knows the sender's reasons by heart; here both are held to the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from deploy.auditor.__main__ import main
from services.sender.ledger import Ledger
from services.sender.schema import LEDGER_DDL
from services.sender.settling import UNKNOWN, InDoubt, Neighbours, settle
from shared.wire.batches import MessageBatch
from shared.wire.events import EventKind
from tests.integration.sender.audience import entry, people
from tests.unit.auditor.scene import Scene

WINDOW_MS = 10_000
SETTLE_AFTER_MS = 100_000
PROVEN = Neighbours(witnessed=True, silent=False)
LONG_AFTER_MS = SETTLE_AFTER_MS + 10 * WINDOW_MS


def left(*, resend: bool = True, deadline_ms: int | None = None, **known: Any) -> str:
    """The sender's reason for leaving a message in doubt after one attempt."""
    doubt = InDoubt(
        "m", "s", 0, resend, 1, SETTLE_AFTER_MS - WINDOW_MS, SETTLE_AFTER_MS, deadline_ms
    )
    moment = {
        "neighbours": PROVEN, "now_ms": LONG_AFTER_MS, "window_ms": WINDOW_MS, "margin_ms": 0,
        "events_read_ms": SETTLE_AFTER_MS,
    }  # fmt: skip
    decision, reason = settle(doubt, **(moment | known))
    assert decision == "leave"
    return reason


def verdict(folder: Path, row: dict[str, Any]) -> int:
    """What the auditor makes of somebody who ended in doubt, where a resend was owed."""
    scene = Scene(folder)
    scene.person("eve", "unconfirmed", **row)
    return main(scene.arguments("--policy", "resend"))


@pytest.mark.parametrize(
    "known",
    [{"order": "leave"}, {"neighbours": UNKNOWN}, {"deadline_ms": SETTLE_AFTER_MS}],
    ids=["by order", "silent channel", "deadline"],
)
def test_every_way_of_settling_without_a_resend_is_believed(
    tmp_path: Path, known: dict[str, Any]
) -> None:
    row = {"reason": left(**known), "deadline_ms": known.get("deadline_ms")}

    assert verdict(tmp_path, row) == 0


@pytest.mark.parametrize("neighbours", [UNKNOWN, PROVEN], ids=["silent channel", "alive"])
def test_a_sender_that_forgot_the_policy_is_found_out(
    tmp_path: Path, neighbours: Neighbours
) -> None:
    assert verdict(tmp_path, {"reason": left(resend=False, neighbours=neighbours)}) == 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("expired", "its deadline came first"),
        ("cancelled", "the send was cancelled"),
        ("suppressed", "unsubscribed"),
        ("excluded", "no longer belongs to the audience"),
    ],
)
def test_whatever_stops_a_second_attempt_is_believed(
    tmp_path: Path, state: EventKind, reason: str
) -> None:
    """A row that was to be resent, and that the last look or the upkeep ended instead."""
    (person,) = people(1)
    connection = apsw.Connection(":memory:")
    for statement in LEDGER_DDL:
        connection.execute(statement)
    ledger, message_id = Ledger(connection), person.message_of("s")
    batch = MessageBatch(batch_id="b", partition=0, entries=(entry("s", person),))
    ledger.take_in([(batch, b"")], 1)
    ledger.attempt(ledger.pick("s", [0], 1), 2)
    ledger.doubt([(message_id, "no answer")], 3, 2)
    ledger.resend([(message_id, "resent once")], 4)
    (ended,) = ledger.finish([(message_id, state, reason)], 5, expected="ready")

    assert (ended.state, ended.attempt) == ("unconfirmed", 1)
    assert verdict(tmp_path, {"reason": ended.reason, "deadline_ms": 6}) == 0
