"""The restore drill: an older ledger, or none, is refused, rebuilt from the log, held, released."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from shared.errors import WrongStore
from tests.integration.bridges.command_line import answer, doorstep
from tests.integration.loop.test_adopting import forget
from tests.integration.sender.audience import people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Station

PEOPLE = 60


def back_up(ledger: Path, copy: Path) -> None:
    """As `sqlite3 FILE '.backup COPY'`."""
    with (
        closing(apsw.Connection(str(ledger))) as source,
        closing(apsw.Connection(str(copy))) as to,
        to.backup("main", source, "main") as backup,
    ):
        backup.step()


def lose(ledger: Path, copy: Path | None) -> None:
    for ending in ("", "-wal", "-shm"):
        ledger.with_name(ledger.name + ending).unlink(missing_ok=True)
    if copy is not None:
        shutil.copy(copy, ledger)


@pytest.mark.parametrize("kept", ["half", "nothing"])
def test_the_restore_drill(tmp_path: Path, kept: str) -> None:
    with Station(tmp_path, rate=60) as here:
        sender = here.start_sender()
        here.feed("first", people(PEOPLE, "first"))
        here.wait_for_states("first", accepted=PEOPLE)
        here.wait_until_heard("first")
        copy = tmp_path / "copy.db"
        back_up(here.ledger, copy)

        found = people(PEOPLE, "second")
        here.feed("second", found)
        here.feed("waits", people(10, "waits"), priority="low", resend_unconfirmed=True)
        until(lambda: here.states("second")["accepted"] > PEOPLE // 3, "some of the second")
        assert sender.kill() == -9
        lose(here.ledger, copy if kept == "half" else None)

        sender = here.start_sender()
        assert sender.wait() == WrongStore.exit_code, "it must not go on with this ledger"
        assert "restore.md" in sender.said()

        rebuilt = answer(here, "restore", "sender")["states"]
        assert sum(rebuilt.values()) == 2 * PEOPLE + 10
        assert rebuilt.keys() <= {"accepted", "in doubt"}
        mailed = here.mailed("second").total()

        sender = here.start_sender().wait_for_line("loop.ownership")
        here.feed("later", people(5, "later"))
        here.wait_for_states("later", ready=5)
        assert here.mailed("second").total() == mailed, "it is held"
        assert sender.stop() == 0
        sender = here.start_sender()
        here.wait_for_states("later", ready=5)

        doorstep(here, "restore", "release")
        here.wait_until_closed("later", 5)
        for send, number in (("first", PEOPLE), ("second", PEOPLE), ("waits", 10)):
            here.wait_until_closed(send, number)
        here.wait_until_heard("first", "second", "waits", "later")
        assert here.states("later") == {"accepted": 5}
        assert here.states("first") == {"accepted": PEOPLE}
        assert set(here.mailed("second").values()) == {1}
        verdict = here.audit("first", "second", "later", kills=3, window=PEOPLE)
        assert verdict["findings"] == []
        assert verdict["balanced"]
        assert sender.stop() == 0


def test_a_sender_that_the_log_has_forgotten_goes_on(tmp_path: Path) -> None:
    with Station(tmp_path, rate=200) as here:
        sender = here.start_sender()
        here.feed("first", people(PEOPLE, "first"))
        here.wait_until_closed("first", PEOPLE)
        assert sender.stop() == 0
        forget(here.home, "sender")
        here.feed("second", people(PEOPLE, "second"))

        sender = here.start_sender()
        assert sender.wait() == WrongStore.exit_code
        assert "has forgotten this group" in sender.said()
        doorstep(here, "restore", "adopt", "renderer", code=64)
        assert answer(here, "restore", "adopt", "sender")["to_publish"] == 0
        said = doorstep(here, "restore", "adopt", "sender", code=64).stderr
        assert "there is nothing to adopt" in said

        sender = here.start_sender()
        here.wait_until_closed("second", PEOPLE)
        here.wait_until_heard("first", "second")
        verdict = here.audit("first", "second", kills=0, window=PEOPLE)
        assert verdict["findings"] == []
        assert verdict["balanced"]
        assert sender.stop() == 0


def test_a_new_ledger_does_not_begin_where_an_earlier_one_has_sent(tmp_path: Path) -> None:
    """The ledger is lost, and the log has forgotten the group: it would mail everybody again."""
    with Station(tmp_path, rate=200) as here:
        sender = here.start_sender()
        here.feed("first", people(PEOPLE, "first"))
        here.wait_until_closed("first", PEOPLE)
        assert sender.stop() == 0
        forget(here.home, "sender")
        lose(here.ledger, None)

        sender = here.start_sender()

        assert sender.wait() == WrongStore.exit_code
        assert "rebuild it with `doorstep restore sender`" in sender.said()
        assert here.mailed("first").total() == PEOPLE
        assert answer(here, "restore", "sender")["states"] == {"accepted": PEOPLE}


def test_a_ledger_of_another_log_is_not_adopted(tmp_path: Path) -> None:
    with Station(tmp_path / "one", rate=200) as here:
        sender = here.start_sender()
        here.feed("first", people(PEOPLE, "first"))
        here.wait_until_closed("first", PEOPLE)
        assert sender.stop() == 0
        with here.beside("two", rate=200) as other:
            sender = other.start_sender()
            for send in ("many", "more"):
                other.feed(send, people(3 * PEOPLE, send))
                other.wait_until_closed(send, 3 * PEOPLE)
            assert sender.stop() == 0
            forget(other.home, "sender")
            lose(other.ledger, None)
            shutil.copy(here.ledger, other.ledger)
            said = doorstep(other, "restore", "adopt", "sender", code=WrongStore.exit_code).stderr
            assert "this log is another one, or an older copy" in said
