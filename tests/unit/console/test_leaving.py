"""What a home is after a move: nothing embedded opens there, and nothing of it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.console.home import (
    begin_home,
    check_log,
    check_stores,
    keep_places,
    read_home,
    require_home,
    with_log,
    with_postgres,
)
from services.console.leaving import destination, finish_leaving, leave
from shared.errors import Misconfigured
from shared.log.embedded.body import EmbeddedLog
from shared.log.opening import open_log
from shared.moved import MOVED
from shared.settings import Settings
from shared.store.opening import open_store

DSN = "postgresql://u:password@h/db"
FILES = ("log.db", "segmenter/people.db", "sender/ledger.db")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    begin_home(read_home(tmp_path, {}))
    EmbeddedLog(tmp_path / "log.db").close()
    for file in FILES[1:]:
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(file)
    return tmp_path


def there(home: Path) -> Settings:
    return destination(read_home(home, {}), "h:9092", DSN)


def test_a_home_that_was_left_is_found_on_kafka_and_opens_nowhere_else(home: Path) -> None:
    leave(there(home))
    now = read_home(home, {})
    assert (now.log, now.postgres_dsn()) == ("h:9092", DSN)
    check_log(now)
    check_stores(now)
    assert (home / "secret").exists()
    assert (home / "postgres").stat().st_mode & 0o777 == 0o600
    assert (home / "before-move" / FILES[2]).read_text() == FILES[2]

    embedded = now.model_copy(update={"log": "embedded", "postgres_file": None})
    for opening in (
        lambda: open_log(embedded),
        lambda: open_store(embedded, "sender", "ledger.db", ()),
        lambda: check_log(embedded),
        lambda: check_stores(embedded),
        lambda: require_home(embedded),
    ):
        with pytest.raises(Misconfigured, match=r"has moved to Kafka at h:9092"):
            opening()
    assert not any((home / file).exists() for file in FILES)


def test_leaving_that_was_cut_off_is_finished_by_the_next_move(home: Path) -> None:
    to = there(home)
    (home / MOVED).write_text("h:9092\n")
    with pytest.raises(Misconfigured, match="has moved"):
        open_log(read_home(home, {}))
    finish_leaving(with_log(to, "another:9092"))
    now = read_home(home, {})
    assert (now.log, now.postgres_dsn()) == ("h:9092", DSN)
    assert not any((home / file).exists() for file in FILES)
    with pytest.raises(Misconfigured, match="moved already, to h:9092"):
        finish_leaving(there(home))


def test_the_database_comes_from_the_environment_or_its_file_as_well(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Misconfigured, match="DOORSTEP_POSTGRES_FILE, a file that holds"):
        destination(read_home(home, {}), "h:9092", None)
    monkeypatch.setenv("DOORSTEP_POSTGRES", DSN)
    assert destination(read_home(home), "h:9092", None).postgres_dsn() == DSN
    monkeypatch.delenv("DOORSTEP_POSTGRES")
    (tmp_path / "dsn").write_text(DSN)
    monkeypatch.setenv("DOORSTEP_POSTGRES_FILE", str(tmp_path / "dsn"))
    assert destination(read_home(home), "h:9092", None).postgres_dsn() == DSN


def test_what_is_not_in_files_is_not_moved(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORSTEP_POSTGRES", DSN)
    (home / FILES[2]).unlink()
    with pytest.raises(Misconfigured, match="stores in PostgreSQL already"):
        destination(read_home(home), "h:9092", None)
    keep_places(with_postgres(read_home(home), DSN))
    with pytest.raises(Misconfigured, match="stores in PostgreSQL already"):
        destination(read_home(home), "h:9092", DSN)
    with pytest.raises(Misconfigured, match="unset it"):
        destination(with_log(read_home(home), "h:9092"), "h:9092", DSN)
