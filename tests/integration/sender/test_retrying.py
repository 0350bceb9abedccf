"""What SES refused is sent again on an order, once its cause is mended; nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.sender.ledger import Ledger
from services.sender.schema import LEDGER_DDL
from shared.store.sqlite import SqliteStore
from shared.wire.batches import MessageBatch
from tests.integration.sender.audience import entry, mail_to, people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Body, Station
from tests.integration.sender.test_account import asked


@pytest.fixture
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("retrying"), body=body) as running:
        yield running


def test_who_was_refused_gets_it_and_nobody_else_does_twice(station: Station) -> None:
    refused, sound, unrendered = people(6, "refused"), people(4, "sound"), people(1, "unrendered")
    twice = "Subject: a\r\nSubject: b"
    broken = [
        entry("spring", one, mail=mail_to(one).replace("Subject: Spring", twice)) for one in refused
    ]
    station.feed_entries([*broken, *(entry("spring", one) for one in sound)])
    station.feed_entries([entry("spring", unrendered[0], mail=None, refusal="no venue")])
    station.start_sender()
    station.wait_for_states("spring", accepted=4, failed=7)
    failed = {each["retriable"]: each for each in asked(station, "failed?send=spring")["failed"]}
    assert failed[True]["number"] == 6
    assert "Duplicate header" in failed[True]["reason"]
    assert (failed[False]["number"], failed[False]["reason"]) == (1, "no venue")
    before = station.mailed("spring")

    station.order("spring", retry=True)

    until(lambda: {r["attempt"] for r in station.rows("spring").values()} == {0, 1, 2}, "a try")
    station.wait_for_states("spring", accepted=4, failed=7)
    assert station.mailed("spring") == before, "nothing was mended: SES refuses them once more"
    assert station.audit("spring")["balanced"]


def test_when_it_is_mended_they_are_mailed_once_and_the_books_say_so(station: Station) -> None:
    station.sandbox.switch(content_rejected=True)
    station.feed("autumn", people(5, "mended"))
    station.start_sender()
    station.wait_for_states("autumn", failed=5)
    station.sandbox.switch(content_rejected=False)

    station.order("autumn", retry=True)

    station.wait_for_states("autumn", accepted=5)
    assert set(station.mailed("autumn").values()) == {1}
    assert asked(station, "failed?send=autumn") == {"failed": []}
    station.wait_until_heard("autumn")
    assert station.audit("autumn")["balanced"]


@pytest.mark.parametrize("state", ["accepted", "unconfirmed", "ready", "suppressed"])
def test_only_what_was_certainly_refused_is_ready_again(tmp_path: Path, state: str) -> None:
    store = SqliteStore(tmp_path / "ledger.db", LEDGER_DDL, synchronous="FULL")
    refused, other, late, gone = people(4, state)
    with store.unit() as unit:
        ledger = Ledger(unit.connection)
        deadline = datetime.fromtimestamp(100, UTC) + timedelta(seconds=1)
        entries = (
            entry("spring", refused), entry("spring", other),
            entry("spring", late, deadline=deadline), entry("spring", gone),
        )  # fmt: skip
        ledger.take_in([(MessageBatch(batch_id="b", partition=0, entries=entries), b"x")], 1_000)
        picked = ledger.pick("spring", [0], 9)
        ids = {one.supporter_id: one.message_id for one in picked}
        if state == "ready":
            picked = [one for one in picked if one.supporter_id != other.supporter_id]
        ledger.attempt(picked, 2_000)
        wrong = [ids[one.supporter_id] for one in (refused, late, gone)]
        ledger.finish([(m, "failed", "bad") for m in wrong], 3_000, expected="attempting")
        ours = ids[other.supporter_id]
        if state == "accepted":
            ledger.accept([(ours, "ses")], 3_000)
        elif state == "unconfirmed":
            ledger.doubt([(ours, "silence")], 9_000, 3_000)
        elif state == "suppressed":
            ledger.finish([(ours, "suppressed", "x")], 3_000, expected="attempting")
        unit.connection.execute(
            "update message set to_address = '' where supporter_id = ?", (gone.supporter_id,)
        )
        assert ledger.retry("spring", 3_000, [0], 2_000, 5_000) == 0, "ordered before it failed"
        assert ledger.retry("spring", 4_000, [1], 2_000, 5_000) == 0, "another's partition"
        assert ledger.retry("spring", 4_000, [0], 101_000, 5_000) == 1
        assert ledger.retry("spring", 4_000, [0], 101_000, 5_000) == 0, "once for an order"
        states = dict(unit.connection.execute("select supporter_id, state from message"))
        assert states == {
            refused.supporter_id: "ready", other.supporter_id: state,
            late.supporter_id: "failed", gone.supporter_id: "failed",
        }  # fmt: skip
        assert ledger.content("b") == b"x", "the mail is still there"
        ledger.attempt(ledger.pick("spring", [0], 1), 6_000)
    store.close()
