"""Brokers away, short retention, a quota, a failover: nobody is forgotten or mailed late."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.estate import Estate, wait_seconds
from tests.end_to_end.outages import (
    WINDOW,
    links_of,
    outage_of_brokers,
    outlasted_retention,
    running,
    settled,
    unsubscribe,
)
from tests.end_to_end.whole_run import EVERYBODY
from tests.integration.sender.processes import until

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster
    from tests.real_postgres import PostgresServer

pytestmark = [pytest.mark.real("kafka"), pytest.mark.real("postgres"), pytest.mark.timeout(400)]

OUTAGE_SECONDS, CLICKS_A_SECOND, LEAVERS = 15, 40, 20
TOO_LATE_SECONDS = 30


def test_with_all_brokers_away_every_hit_is_answered_and_told_once(
    tmp_path: Path, kafka_cluster: Cluster, postgres_server: PostgresServer
) -> None:
    with running(tmp_path, kafka_cluster, postgres_server) as estate:
        settled(estate, 100, "away")

        found = outage_of_brokers(
            estate, kafka_cluster, seconds=OUTAGE_SECONDS, clicks_a_second=CLICKS_A_SECOND,
            leavers=LEAVERS,
        )  # fmt: skip

    clicks = OUTAGE_SECONDS * CLICKS_A_SECOND
    assert found["unanswered"] == 0
    assert found["answers"] == {"GET 302": clicks, "POST 200": LEAVERS}
    assert found["on events"] == {"clicked": clicks, "unsubscribed": LEAVERS}
    assert found["mailed after leaving"] == 0
    assert found["mailed after"] == 100 - LEAVERS
    assert found["crashed"] == 0
    assert found["verdict"]["balanced"], found["verdict"]


def test_a_send_that_outlasts_the_retention_balances(
    tmp_path: Path, kafka_cluster: Cluster, postgres_server: PostgresServer
) -> None:
    found = outlasted_retention(tmp_path, kafka_cluster, postgres_server, seconds=5, mails=200)

    assert found["seconds"] > 10, "twice the retention"
    assert found["removed from messages"] > 0, "the front of the topic is gone"
    assert found["verdict"]["balanced"], found
    assert found["verdict"]["books"]["long"]["accepted"] == 200
    assert found["crashed"] == 0


def test_a_quota_that_ends_holds_the_send_and_a_paused_send_holds_up_nobody(
    tmp_path: Path, kafka_cluster: Cluster, postgres_server: PostgresServer
) -> None:
    with running(tmp_path, kafka_cluster, postgres_server) as estate:
        settled(estate, 120, "quota")
        estate.sandbox.switch(daily_quota=50)
        estate.launch("first", EVERYBODY)
        until(lambda: estate.states("first")["accepted"] == 50, "the quota to end")
        wait_seconds(2)
        assert estate.states("first")["accepted"] == 50
        estate.order("first", paused=True)
        estate.sandbox.switch(daily_quota=-1)

        estate.launch("second", EVERYBODY)
        estate.wait_until_finished("second", seconds=120)

        assert estate.states("first")["accepted"] == 50, "it is paused"
        estate.order("first", paused=False)
        estate.wait_until_finished("first", seconds=120)
        estate.wait_until_heard()
        verdict = estate.audit("first", "second", policy="leave", window=WINDOW)
        crashed = estate.crashed

    assert verdict["balanced"], verdict
    assert verdict["unconfirmed"] == 0
    assert crashed == []
    assert [verdict["books"][send]["accepted"] for send in ("first", "second")] == [120, 120]


def test_an_unsubscribe_holds_after_thirty_seconds_through_a_failover(
    tmp_path: Path, kafka_cluster: Cluster, postgres_server: PostgresServer
) -> None:
    with running(tmp_path, kafka_cluster, postgres_server, window=2) as estate:
        settled(estate, 300, "leaving")
        estate.launch("first", EVERYBODY)
        estate.wait_until_finished("first", seconds=180)
        links = links_of(estate, "first")[:60]
        estate.sandbox.switch(latency_ms=350)  # from now on some six mails a second
        estate.launch("second", EVERYBODY)
        until(lambda: estate.states("second")["accepted"] > 10, "the second send to be under way")

        acknowledged = {}
        for one in links:
            assert unsubscribe(estate, one) == 200
            acknowledged[one.address] = time.time()
        for name in ("tracker-1", "sender-1"):
            estate.kill(name)
        estate.wait_until_finished("second", seconds=240)
        estate.wait_until_heard()

        verdict = estate.audit("second", policy="leave", window=2)
        mailed = accepted_at(estate, "second")
        crashed = estate.crashed

    assert verdict["balanced"], verdict
    assert crashed == []
    late = {a: mailed[a] - at for a, at in acknowledged.items() if a in mailed}
    assert all(seconds <= TOO_LATE_SECONDS for seconds in late.values()), late
    assert verdict["books"]["second"]["suppressed"] > 0
    assert max(mailed.values()) > max(acknowledged.values()) + TOO_LATE_SECONDS, "it went on"


def accepted_at(estate: Estate, send: str) -> dict[str, float]:
    """Address to the moment at which SES took a mail of a send."""
    return {
        mail["X-SES-Recipient"]: datetime.fromisoformat(mail["X-SES-Accepted-At"]).timestamp()
        for mail in estate.sandbox.mails()
        if mail["X-SES-Tag-s"] == send
    }
