"""Opening the log that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import Misconfigured
from shared.log.opening import open_log
from shared.settings import Settings


def test_the_embedded_log_lies_in_the_home_folder(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path, partitions=5))
    assert log.partitions == 5
    assert log.end_offsets("events") == dict.fromkeys(range(5), 0)
    assert (tmp_path / "log.db").exists()
    log.close()


def test_any_other_log_is_not_in_this_release(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"DOORSTEP_LOG=broker\.example:9092"):
        open_log(Settings(home=tmp_path, log="broker.example:9092"))
