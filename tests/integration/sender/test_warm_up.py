"""A new sending domain's warm-up: the sender stops the day at its count, however many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

import pytest

from services.sender.gates import Gate
from services.sender.last_look import Candidate
from services.sender.schema import LEDGER_DDL
from shared.log.topics import PROGRAMME
from shared.programme.definitions import Campaign, Disclaimer, WarmUp
from shared.programme.versions import to_wire
from shared.programme.warm_ups import WarmUps
from shared.store.sqlite import SqliteStore
from shared.wire.cloudevents import encode
from tests.integration.sender.audience import people
from tests.integration.sender.processes import until
from tests.integration.sender.station import PARTITIONS, Body, Station
from tests.integration.sender.test_account import asked
from tests.integration.sender.test_figures import figure
from tests.real_postgres import PostgresServer

DOMAIN = "mail.example.com"
PEOPLE = 60
DAY = 20


@pytest.fixture
def station(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("warm-up"), body=body) as running:
        yield running


def warm_up(station: Station, *days: int, begins: date | None = None) -> None:
    """Apply the campaign with this warm-up; its first day is today unless said otherwise."""
    today = datetime.now(UTC).date()
    apply_campaign(
        station, warm_up={DOMAIN: WarmUp(begins=begins or today, days=days)} if days else {}
    )


def apply_campaign(station: Station, **fields: Any) -> None:
    """Apply the campaign with these fields."""
    now = datetime.now(UTC)
    campaign = Campaign(
        name="spring", organisation="Spring", from_name="Spring", from_address=f"news@{DOMAIN}",
        reply_to=f"news@{DOMAIN}", postal_address="1 High Street", timezone="UTC",
        disclaimer=Disclaimer(jurisdiction="none", reason="a test"), **fields,
    )  # fmt: skip
    wire = to_wire(campaign, now)
    station.log.append(
        [
            encode(wire, id=f"campaign-{now.isoformat()}", source="console", subject="spring",
                   time=now, topic=PROGRAMME, partition=0, key="definition/campaign/spring")
        ]
    )  # fmt: skip


def test_the_day_stops_at_its_count_and_goes_on_when_more_may_go(station: Station) -> None:
    """Refusals that cost nothing do not use up the day."""
    warm_up(station, DAY, 1_000)
    station.sandbox.switch(faults={"throttle_429": 0.3})
    station.feed("spring", people(PEOPLE))
    station.start_sender()

    station.wait_for_states("spring", accepted=DAY, ready=PEOPLE - DAY)

    until(lambda: figure(station, "doorstep_warm_up_left_messages") == 0, "the day to be full")
    assert asked(station, "account")["sent_of_warm_up"] == {DOMAIN: DAY}
    remarks = asked(station, "books?send=spring")["account_remarks"]
    assert remarks == [f"the warm-up of {DOMAIN} lets 20 mails go today: 20 have gone"]
    by_partition = Counter(partition for (partition,) in station.books.rows(
        "select partition from message where state = 'accepted'"))  # fmt: skip
    assert len(by_partition) == PARTITIONS, "the first of every partition go first"
    assert max(by_partition.values()) - min(by_partition.values()) <= 3

    warm_up(station, PEOPLE - 10, 1_000)
    station.wait_for_states("spring", accepted=PEOPLE - 10, ready=10)
    warm_up(station)
    station.wait_for_states("spring", accepted=PEOPLE)
    until(lambda: figure(station, "doorstep_warm_up_left_messages") == inf, "no limit")
    assert station.audit("spring")["balanced"]


def test_nothing_goes_before_it_begins_and_no_limit_is_left_after_its_days(
    station: Station,
) -> None:
    today = datetime.now(UTC).date()
    warm_up(station, 5, begins=today + timedelta(days=1))
    station.feed("early", people(10, "early"))
    station.start_sender().wait_for_line("loop.ownership")
    until(lambda: figure(station, "doorstep_warm_up_left_messages") == 0, "it to be seen")
    assert station.mailed("early").total() == 0

    warm_up(station, 5, begins=today - timedelta(days=1))

    station.wait_for_states("early", accepted=10)


def test_two_senders_keep_to_one_count(tmp_path: Path, postgres_server: PostgresServer) -> None:
    with Station(tmp_path, body=postgres_server.dsn) as station:
        warm_up(station, DAY)
        station.feed("spring", people(PEOPLE))
        for port in (0, 1):
            station.start_sender(sender__port=int(str(station.settings["sender__port"])) + port)
        station.wait_for_states("spring", accepted=DAY, ready=PEOPLE - DAY)
        until(lambda: station.books.rows("select sum(sent) from warm_up_day") == [(DAY,)], "count")
        assert station.mailed("spring").total() == DAY


def test_another_domain_is_not_held_up(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "l.db", LEDGER_DDL, synchronous="FULL")
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    warming = WarmUps({DOMAIN: WarmUp(begins=now.date(), days=(2,))})

    def candidate(number: int, sender: str) -> Candidate:
        return Candidate(number, str(number), "s", 0, 0, "p", "a", "v", "", "t", None, sender,
                         "x@example.org", "b", 0, 0)  # fmt: skip

    ours = [candidate(n, f"Spring <news@{DOMAIN.upper()}>") for n in range(3)]
    other = candidate(9, "news@old.example.org")
    with store.unit() as unit:
        gate = Gate(unit.connection, warming, now)
        assert gate.admit([*ours, other]) == [*ours[:2], other]
        gate.spend([*ours[:2], other])
    with store.unit() as unit:
        gate = Gate(unit.connection, warming, now)
        assert gate.left() == 0
        assert gate.admit([*ours, other]) == [other]
        gate.give_back([ours[0], other])
        assert gate.admit(ours) == ours[:1]
    with store.unit() as unit:
        tomorrow = Gate(unit.connection, warming, now + timedelta(days=1))
        assert not tomorrow.warming
        assert tomorrow.admit(ours) == ours
    store.close()
