"""Several trackers on one machine share nothing but the log."""

from __future__ import annotations

from pathlib import Path

from services.tracker.__main__ import name_of, spool_path
from shared.settings import Settings


def test_each_tracker_has_a_spool_and_a_name_of_its_own(tmp_path: Path) -> None:
    first, second = Settings(home=tmp_path), Settings(home=tmp_path, instance="2")
    assert [name_of(each) for each in (first, second)] == ["tracker", "tracker-2"]
    assert spool_path(first) == tmp_path / "tracker" / "spool.db"
    assert spool_path(second) == tmp_path / "tracker-2" / "spool.db"
