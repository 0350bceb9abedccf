"""What a home remembers: where its log and its stores are."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.console.home import (
    begin_home,
    check_log,
    check_stores,
    handed_down,
    keep_places,
    read_home,
    with_log,
    with_postgres,
)
from shared.errors import Misconfigured

DSN = "postgresql://u:password@h/db"


def test_a_home_remembers_brokers_and_database(tmp_path: Path) -> None:
    named = with_postgres(with_log(read_home(tmp_path, {}), "h:9092"), DSN)
    keep_places(begin_home(named))
    assert (tmp_path / "postgres").stat().st_mode & 0o777 == 0o600
    known = read_home(tmp_path, {})
    assert (known.log, known.postgres_dsn()) == ("h:9092", DSN)
    given = handed_down(known, {"DOORSTEP_POSTGRES": "another"})
    assert given["DOORSTEP_LOG"] == "h:9092"
    assert given["DOORSTEP_POSTGRES_FILE"] == str(tmp_path / "postgres")
    assert "DOORSTEP_POSTGRES" not in given
    assert DSN not in given.values()


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_places(begin_home(with_postgres(with_log(read_home(tmp_path, {}), "h:9092"), DSN)))
    monkeypatch.setenv("DOORSTEP_LOG", "embedded")
    monkeypatch.setenv("DOORSTEP_POSTGRES", "")
    known = read_home(tmp_path, {})
    assert (known.log, known.postgres_dsn()) == ("embedded", "")


def test_brokers_that_moved_are_remembered_anew(tmp_path: Path) -> None:
    for brokers in ("h:9092", "i:9092"):
        keep_places(begin_home(with_log(read_home(tmp_path, {}), brokers)))
        assert read_home(tmp_path, {}).log == brokers


def test_a_programme_in_files_is_not_left_behind(tmp_path: Path) -> None:
    settings = begin_home(read_home(tmp_path, {}))
    (tmp_path / "log.db").touch()
    check_log(settings)
    with pytest.raises(Misconfigured, match=r"has its programme in log.db"):
        check_log(with_log(settings, "h:9092"))
    (tmp_path / "sender").mkdir()
    (tmp_path / "sender" / "ledger.db").touch()
    check_stores(settings)
    with pytest.raises(Misconfigured, match=r"stores in files \(sender/ledger.db\)"):
        check_stores(with_postgres(settings, DSN))


def test_a_secret_that_went_missing_is_not_replaced_on_kafka_either(tmp_path: Path) -> None:
    keep_places(begin_home(with_log(read_home(tmp_path, {}), "h:9092")))
    (tmp_path / "secret").unlink()
    with pytest.raises(Misconfigured, match="put it back from your backup"):
        begin_home(read_home(tmp_path, {}))
