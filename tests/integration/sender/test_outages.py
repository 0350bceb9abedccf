"""The ledger goes away under a sender that is calling: no call is made twice and none forgotten.

What SES answered meanwhile is kept; what was intended without an answer of the ledger is taken
back. So an outage leaves nobody in doubt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cutting_proxy import Cut, CuttingProxy
from tests.integration.sender.audience import people
from tests.integration.sender.processes import ServiceProcess, until
from tests.integration.sender.station import Station
from tests.integration.sender.test_thawing import outlast
from tests.real_postgres import PostgresServer

PEOPLE = 60


@pytest.fixture(scope="module")
def proxy(postgres_server: PostgresServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(postgres_server.port) as running:
        yield running


@pytest.fixture(scope="module")
def station(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, proxy: CuttingProxy
) -> Iterator[Station]:
    folder = tmp_path_factory.mktemp("outages")
    ways = ("--latency-ms", "60")
    with Station(folder, *ways, body=lambda: proxy.through(postgres_server.dsn())) as running:
        yield running


@pytest.fixture(scope="module")
def sender(station: Station) -> ServiceProcess:
    return station.start_sender().wait_for_line("loop.ownership")


def wait_for_the_first_mail(station: Station, sender: ServiceProcess, send: str) -> None:
    def mailed() -> bool:
        assert sender.alive(), f"it ended: {sender.said()[-3000:]}"
        return station.states(send)["accepted"] > 0

    until(mailed, "the first mail")


def assert_mailed_once(station: Station, send: str) -> None:
    """Everybody once, at the first attempt, with nobody in doubt at any time."""
    station.wait_for_states(send, accepted=PEOPLE)  # fails with the sender's last words
    assert {row["attempt"] for row in station.rows(send).values()} == {1}
    asked = Counter(
        line["tags"]["m"] for line in station.sandbox.journal() if line["tags"]["s"] == send
    )
    assert set(asked.values()) == {1}
    station.wait_until_heard(send)
    station.wait_for_event(send, "accepted", PEOPLE)
    assert len(station.events(send, "accepted")) == PEOPLE
    assert station.events(send, "unconfirmed") == []
    assert station.audit(send, kills=0)["balanced"]
    assert station.doubled_records() == []


@pytest.mark.parametrize("after", [1, 2, 4, 7])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_without_an_answer_costs_nobody_a_mail_and_nobody_two(
    station: Station, sender: ServiceProcess, proxy: CuttingProxy, when: Cut, after: int
) -> None:
    send = f"{when}-{after}"
    station.feed(send, people(PEOPLE, send))
    cuts = proxy.cuts
    proxy.cut_at_commit(when, after=after)

    until(lambda: proxy.cuts > cuts, "the cut")

    assert_mailed_once(station, send)
    assert sender.alive()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_server_restarts_under_way(
    station: Station, sender: ServiceProcess, postgres_server: PostgresServer, mode: str
) -> None:
    send = f"restarted-{mode}"
    station.feed(send, people(PEOPLE, send))
    wait_for_the_first_mail(station, sender, send)

    for _ in range(2):
        postgres_server.restart(mode)
        until(lambda: station.states(send)["accepted"], "it to answer")

    assert_mailed_once(station, send)
    assert sender.alive()


def test_the_server_is_away_for_longer_than_calls_last(
    station: Station, sender: ServiceProcess, postgres_server: PostgresServer
) -> None:
    send = "away"
    station.feed(send, people(PEOPLE, send))
    wait_for_the_first_mail(station, sender, send)
    postgres_server.stop("immediate")
    outlast(4)
    asked = station.sandbox.report()["requests"]
    outlast(1)
    assert station.sandbox.report()["requests"] == asked, "no call without a ledger"
    postgres_server.start()

    assert_mailed_once(station, send)
    assert sender.alive()


def test_a_sender_waits_for_its_ledger_at_the_start(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    with Station(tmp_path, body=postgres_server.dsn) as here:
        here.feed("later", people(PEOPLE, "later"))
        postgres_server.stop()
        here.start_sender().wait_for_line("store.unavailable")
        postgres_server.start()
        here.wait_for_states("later", accepted=PEOPLE)


def test_a_sender_whose_ledger_stays_away_ends_with_a_word(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    with Station(tmp_path, body=postgres_server.dsn) as here:
        started = here.start_sender(loop__retry_seconds=1).wait_for_line("loop.ownership")
        postgres_server.stop()
        assert started.wait() == 75
        waiting = here.start_sender(loop__retry_seconds=1)
        assert waiting.wait() == 75
        postgres_server.start()
        for process in (started, waiting):
            assert '"action": "service.ended", "error": "' in process.said()
            assert "Connection refused" in process.said()
            assert "Traceback" not in process.said()
