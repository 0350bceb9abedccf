"""Two senders on one ledger in PostgreSQL share the partitions; one dies, or stands still.

Whoever had a number before can write nothing about it once another has taken it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.ports import free_port
from tests.integration.sender.audience import people
from tests.integration.sender.processes import ServiceProcess, until
from tests.integration.sender.station import PARTITIONS, WINDOW, Station
from tests.integration.sender.test_thawing import outlast, stands_still
from tests.real_postgres import PostgresServer

PEOPLE = 120
LEASE_SECONDS = 1
CUT_SECONDS = 10
"""A transaction that says nothing for so long is ended by the server."""


@pytest.fixture
def station(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    with Station(tmp_path, "--latency-ms", "100", body=postgres_server.dsn) as running:
        yield running


def start(station: Station, *arguments: str, module: str = "services.sender") -> ServiceProcess:
    """One sender more, with a port of its own."""
    return station.start_sender(*arguments, module=module, sender__port=free_port())


def owners(station: Station) -> int:
    """How many members of the group own numbers, when all are owned."""
    import apsw

    log = apsw.Connection(str(station.home / "log.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found = log.execute("select member_id, count(*) from owner where grp = 'sender' group by 1")
    numbers = dict(found.fetchall())
    log.close()
    return len(numbers) if sum(numbers.values()) == PARTITIONS else 0


def close_and_audit(station: Station, send: str, kills: int) -> dict[str, int]:
    states = station.wait_until_closed(send, PEOPLE)
    station.wait_until_heard(send)
    verdict = station.audit(send, kills=kills, window=WINDOW)
    assert verdict["findings"] == []
    assert verdict["balanced"]
    assert station.doubled_records() == []
    return states


def test_two_senders_share_the_work_and_hand_it_over_in_order(station: Station) -> None:
    first, second = start(station), start(station)
    until(lambda: owners(station) == 2, "both to own numbers")
    station.feed("shared", people(PEOPLE, "shared"))
    until(lambda: station.states("shared")["accepted"] > WINDOW, "the first mails")

    assert second.stop() == 0
    until(lambda: owners(station) == 1, "the first to own all")
    third = start(station)
    until(lambda: owners(station) == 2, "the third to own some")

    assert close_and_audit(station, "shared", kills=0) == {"accepted": PEOPLE}
    assert first.stop() == third.stop() == 0


def test_one_of_two_is_killed(station: Station) -> None:
    first, second = start(station), start(station)
    until(lambda: owners(station) == 2, "both to own numbers")
    station.feed("killed", people(PEOPLE, "killed"))
    until(lambda: station.states("killed")["accepted"] > WINDOW, "the first mails")

    second.kill()

    states = close_and_audit(station, "killed", kills=1)
    assert states["accepted"] + states["unconfirmed"] == PEOPLE
    assert first.alive()


def test_one_of_two_stands_still_and_thaws(station: Station) -> None:
    """Longer than its lease, and longer than the server lets it hold a transaction open."""
    first, second = start(station), start(station)
    until(lambda: owners(station) == 2, "both to own numbers")
    station.feed("frozen", people(PEOPLE, "frozen"))
    until(lambda: station.states("frozen")["accepted"] > WINDOW, "the first mails")

    second.freeze()
    until(lambda: stands_still(second.pid), "it to stand still")
    outlast(CUT_SECONDS + 2)
    second.thaw()

    states = close_and_audit(station, "frozen", kills=1)
    assert states["accepted"] + states["unconfirmed"] == PEOPLE
    until(lambda: owners(station) == 2, "both to own numbers again")
    assert first.stop() == second.stop() == 0


@pytest.mark.parametrize(
    ("point", "called"),
    [("sender.attempting.before_commit", PEOPLE), ("sender.attempting.after_commit", None)],
)
def test_one_stands_still_around_its_intent_and_another_takes_over(
    station: Station, point: str, called: int | None
) -> None:
    """Before its commit, it holds what the other waits for until the server cuts it: nothing was
    intended. After it, its window is in doubt, though it finds its last look too old to call.
    """
    module = "tests.integration.sender.freezing_sender"
    frozen = start(station, point, module=module).wait_for_line("loop.ownership")
    station.feed("intent", people(PEOPLE, "intent"))
    until(lambda: stands_still(frozen.pid), "it to stand still")
    other = start(station)
    station.wait_for_states("intent", seconds=90, **_expected(called))

    frozen.thaw()

    frozen.wait_for_line("sender.fenced" if called is None else "sender.unavailable")
    states = close_and_audit(station, "intent", kills=1)
    assert states == _expected(called)
    assert station.sandbox.report()["requests"] == states["accepted"]
    until(lambda: owners(station) == 2, "both to own numbers")
    assert frozen.stop() == other.stop() == 0


def _expected(called: int | None) -> dict[str, int]:
    if called is not None:
        return {"accepted": called}
    return {"accepted": PEOPLE - WINDOW, "unconfirmed": WINDOW}
