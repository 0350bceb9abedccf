"""Chaos on real brokers and a database: doubled nobody, forgot nobody; faults are found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.chaos import chaos
from tests.end_to_end.deeds import KILLED, Chaos, Planted, Story

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster
    from tests.real_postgres import PostgresServer

pytestmark = [pytest.mark.real("kafka"), pytest.mark.real("postgres")]

RECIPIENTS, KILLS = (5_000, 20) if os.environ.get("CI") == "true" else (1_000, 8)


@pytest.mark.timeout(900)
def test_through_chaos_nobody_is_mailed_twice_and_nobody_is_forgotten(
    tmp_path: Path, kafka_of_three: Cluster, postgres_server: PostgresServer
) -> None:
    run = Chaos(recipients=RECIPIENTS, kills=KILLS, pace=4.0, seed=KILLS, seconds_limit=780)

    verdicts = chaos(tmp_path, run, Story(), kafka_of_three, postgres_server)

    for sends, verdict in verdicts.items():
        assert verdict["findings"] == [], sends
        assert verdict["withdrawals lost"] == []
        assert verdict["events twice"] == []
        assert verdict["dead letters"] == 0
        assert verdict["crashed"] == []
        assert verdict["balanced"]
        assert verdict["unconfirmed"] <= verdict["unconfirmed_allowed"]
        assert verdict["killed"] == dict.fromkeys(KILLED, KILLS // len(KILLED))
        assert all(way["acknowledged"] for way in verdict["withdrawals"].values())
    assert verdicts["resend"]["resent"] > 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("plant", "found", "pace"),
    [
        ("shared-inboxes", "doubled inbox", 4.0),
        ("outcome-first", "missed", 4.0),
        ("default-retries", "doubled", 4.0),
        ("deaf", "mailed after withdrawal", 30.0),  # so slow that it mails half a minute later
    ],
)
def test_the_same_run_finds_a_planted_fault(
    tmp_path: Path,
    kafka_cluster: Cluster,
    postgres_server: PostgresServer,
    plant: Planted,
    found: str,
    pace: float,
) -> None:
    run = Chaos(
        recipients=300, brokers=1, segmenters=1, renderers=1, senders=1, kills=2,
        policies=("leave",), plant=plant, pace=pace, share=0.03, happenings=False,
        seconds_limit=300,
    )  # fmt: skip

    verdict = chaos(tmp_path, run, Story(), kafka_cluster, postgres_server)["leave"]

    assert not verdict["balanced"]
    assert verdict["counts"][found] > 0
