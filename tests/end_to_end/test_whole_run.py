"""Random kills of all four services, from the freeze to the last word of SES."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.end_to_end.whole_run import WholeRun, whole_run

KILLS = 50 if os.environ.get("CI") == "true" else 12
PEOPLE_A_KILL = 6


@pytest.mark.timeout(900)
def test_random_kills_of_all_services_double_nobody_and_forget_nobody(tmp_path: Path) -> None:
    people = 60 + KILLS * PEOPLE_A_KILL

    verdicts = whole_run(tmp_path, WholeRun(people=people, kills=KILLS, seed=KILLS))

    for policy, verdict in verdicts.items():
        assert verdict["findings"] == [], policy
        assert verdict["balanced"]
        assert 0 < verdict["unconfirmed"] <= verdict["unconfirmed_allowed"]
    frozen = verdicts["leave"]["books"]["first-leave"]["frozen"]
    assert people * 0.9 < frozen <= people, "all who did not leave before the freeze"
