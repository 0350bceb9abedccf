"""A sender that stood still: what it meant to do before is looked at again."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.clock import boot_seconds
from tests.integration.sender.audience import people
from tests.integration.sender.calling import WAYS, Way
from tests.integration.sender.processes import until
from tests.integration.sender.station import Station

PEOPLE = 60
LAST_LOOK_SECONDS = 0.4


def stands_still(pid: int) -> bool:
    """Whether every thread of the process is stopped."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


def outlast(seconds: float) -> None:
    """Return when so much time has passed on the clock that goes on in a frozen machine."""
    end = boot_seconds() + seconds
    until(lambda: boot_seconds() > end, "time to pass")


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_thaws_after_its_last_look_is_not_made(tmp_path: Path, way: Way) -> None:
    """Frozen in the middle of a call, before it is signed: everybody withdraws meanwhile."""
    with Station(tmp_path, window=1, last_look_seconds=LAST_LOOK_SECONDS, gateway=way) as here:
        found = here.feed("frozen", people(3, "frozen"))
        sender = here.start_sender(module="tests.integration.sender.freezing_sender")
        until(lambda: stands_still(sender.pid), "the sender to freeze")
        assert here.states("frozen") == {"attempting": 1, "ready": 2}
        for person in found:
            here.suppress(person.supporter_id, "everything", "unsubscribed")
        outlast(LAST_LOOK_SECONDS)

        sender.thaw()

        here.wait_for_states("frozen", suppressed=3)
        assert here.sandbox.report()["requests"] == 0
        assert here.audit("frozen", kills=0)["balanced"]


def test_a_sender_that_was_frozen_under_way_goes_on_where_it_was(tmp_path: Path) -> None:
    """Longer than its lease, its read timeout and its last look."""
    with Station(tmp_path, "--latency-ms", "200", last_look_seconds=LAST_LOOK_SECONDS) as here:
        sender = here.start_sender()
        here.feed("thawed", people(PEOPLE, "thawed"))
        until(lambda: here.states("thawed")["accepted"], "the first mail")
        for _ in range(2):
            sender.freeze()
            until(lambda: stands_still(sender.pid), "the sender to freeze")
            outlast(2.5)
            sender.thaw()
            until(lambda: not stands_still(sender.pid), "the sender to thaw")

        states = here.wait_until_closed("thawed", PEOPLE)

        assert states["accepted"] + states["unconfirmed"] == PEOPLE
        here.wait_until_heard("thawed")
        assert sender.stop() == 0
        assert here.audit("thawed", kills=2, window=4)["balanced"]
        assert here.doubled_records() == []
