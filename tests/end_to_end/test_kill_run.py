"""Random kills: nobody is mailed twice, nobody is forgotten; and the run would have noticed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.kill_run import Plant, Policy, Run, kill_run
from tests.real_postgres import PostgresServer

KILLS = 50 if os.environ.get("CI") == "true" else 12
MESSAGES_A_KILL = 60
SOUND = {"doubled": 0, "doubled inbox": 0, "missed": 0, "without a final state": 0}


def planned(verdict: dict[str, Any]) -> dict[str, int]:
    """What the promise is about, as the auditor counted it."""
    return {kind: verdict["counts"][kind] for kind in SOUND}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("policy", ["leave", "resend"])
def test_random_kills_double_nobody_and_forget_nobody(tmp_path: Path, policy: Policy) -> None:
    run = Run(messages=KILLS * MESSAGES_A_KILL, kills=KILLS, policy=policy, seed=KILLS)

    verdict = kill_run(tmp_path, run)

    assert verdict["findings"] == []
    assert verdict["balanced"]
    assert planned(verdict) == SOUND
    assert 0 < verdict["unconfirmed"] <= verdict["unconfirmed_allowed"]
    assert (verdict["resent"] > 0) == (policy == "resend")


@pytest.mark.timeout(600)
def test_random_kills_on_a_ledger_in_postgresql_do_the_same(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    run = Run(messages=12 * MESSAGES_A_KILL, kills=12, policy="resend", seed=12)

    verdict = kill_run(tmp_path, run, postgres_server.dsn)

    assert verdict["findings"] == []
    assert verdict["balanced"]
    assert planned(verdict) == SOUND


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("plant", "found"),
    [
        ("shared-inboxes", "doubled inbox"),
        ("outcome-first", "missed"),
        ("default-retries", "doubled"),
    ],
)
def test_the_same_run_finds_a_planted_fault(tmp_path: Path, plant: Plant, found: str) -> None:
    verdict = kill_run(tmp_path, Run(messages=300, kills=5, plant=plant))

    assert not verdict["balanced"]
    assert verdict["counts"][found] > 0
