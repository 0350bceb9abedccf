"""Chaos on real brokers and a database: doubled nobody, forgot nobody; faults are found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.chaos import Chaos, Story, chaos
from tests.end_to_end.kill_run import Plant

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

    for policy, verdict in verdicts.items():
        assert verdict["findings"] == [], policy
        assert verdict["events twice"] == 0
        assert verdict["dead letters"] == 0
        assert verdict["balanced"]
        assert verdict["unconfirmed"] <= verdict["unconfirmed_allowed"]
    assert verdicts["resend"]["resent"] > 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("plant", "found"),
    [
        ("shared-inboxes", "doubled inbox"),
        ("outcome-first", "missed"),
        ("default-retries", "doubled"),
    ],
)
def test_the_same_run_finds_a_planted_fault(
    tmp_path: Path,
    kafka_cluster: Cluster,
    postgres_server: PostgresServer,
    plant: Plant,
    found: str,
) -> None:
    run = Chaos(
        recipients=300, brokers=1, segmenters=1, renderers=1, senders=1, kills=2,
        policies=("leave",), plant=plant, pace=4.0, share=0.03, happenings=False,
        seconds_limit=300,
    )  # fmt: skip

    verdict = chaos(tmp_path, run, Story(), kafka_cluster, postgres_server)["leave"]

    assert not verdict["balanced"]
    assert verdict["counts"][found] > 0
