"""A full disk stops a service with a clear word: nothing is lost, no record is called poison."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from shared.errors import StorageFailed
from shared.loop.work import is_ours
from shared.sqlite import open_database, savepoint, transaction


@pytest.fixture
def small(tmp_path: Path) -> apsw.Connection:
    """A database that holds no more than it does now."""
    database = open_database(tmp_path / "small.db", synchronous="FULL")
    with transaction(database):
        database.execute("create table kept(n integer primary key, content blob)")
        database.execute("insert into kept values (1, 'before')")
    pages = database.pragma("page_count")
    database.pragma("max_page_count", pages + 2)
    return database


def fill(database: apsw.Connection) -> None:
    with transaction(database), savepoint(database):
        database.execute("insert into kept values (2, zeroblob(1000000))")


def test_a_full_disk_is_said_with_file_and_remedy(small: apsw.Connection) -> None:
    with pytest.raises(StorageFailed, match=r"small\.db: cannot write: .*Make room") as raised:
        fill(small)
    assert is_ours(raised.value), "it means the batch, not a record"
    assert raised.value.exit_code == 82


def test_what_was_there_stays_and_it_goes_on_when_there_is_room(small: apsw.Connection) -> None:
    with pytest.raises(StorageFailed):
        fill(small)
    assert list(small.execute("select n from kept")) == [(1,)]
    small.pragma("max_page_count", 1_000_000)
    fill(small)
    assert list(small.execute("select n from kept order by n")) == [(1,), (2,)]


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device")])
def test_trouble_of_the_machine_is_never_a_record_s_fault(error: Exception) -> None:
    assert is_ours(error)
