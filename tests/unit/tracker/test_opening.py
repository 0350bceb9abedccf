"""Opening the log that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import RetryLater
from shared.log.kafka import client
from shared.log.opening import open_log
from shared.settings import Settings


def test_the_embedded_log_lies_in_the_home_folder(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path, partitions=5))
    assert log.partitions == 5
    assert log.end_offsets("events") == dict.fromkeys(range(5), 0)
    assert (tmp_path / "log.db").exists()
    log.close()


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_brokers_that_do_not_answer_are_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BOOTSTRAP_MS", 300)
    with pytest.raises(RetryLater, match="Kafka cannot do it now"):
        open_log(Settings(home=tmp_path, log="127.0.0.1:1"), wait_seconds=0.0)
