"""The programme as it is kept on the tracker's own disk, and when it is thrown away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from services.tracker import keeping
from services.tracker.keeping import KeptProgramme
from shared.log.record import Record, Stored
from shared.log.topics import PROGRAMME
from shared.sqlite import open_database
from tests.unit.tracker.building import programme_records, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracker" / "programme.db"


def entry(key: str, text: str | None, offset: int) -> Stored:
    value = None if text is None else text.encode()
    return stored(Record(PROGRAMME, 0, key.encode(), value, (("ce_type", b"x"),), 7), offset)


def kept(path: Path, source: str = "embedded") -> tuple[list[Stored], int | None]:
    """What a tracker that starts now finds."""
    found = KeptProgramme(path, source)
    records, as_of_ms = list(found.records()), found.as_of_ms()
    found.close()
    return records, as_of_ms


def keep(path: Path, *changes: Stored, as_of_ms: int = 1, whole: bool = False) -> None:
    opened = KeptProgramme(path, "embedded")
    opened.keep(changes, as_of_ms=as_of_ms, whole=whole)
    opened.close()


def test_nothing_is_known_before_something_was_kept(path: Path) -> None:
    assert kept(path) == ([], None)
    keep(path, as_of_ms=9)
    assert kept(path) == ([], 9), "a programme without anything in it is known, too"


def test_records_come_back_as_they_stood_oldest_first(path: Path) -> None:
    records = [stored(record, offset) for offset, record in enumerate(programme_records())]
    keep(path, *reversed(records), as_of_ms=5)
    assert kept(path) == (records, 5)


def test_a_newer_record_of_a_key_replaces_the_older_and_a_tombstone_removes_it(path: Path) -> None:
    keep(path, entry("a", "1", 0), entry("b", "1", 1), entry("c", "1", 2))
    keep(path, entry("a", "2", 3), entry("b", None, 4), entry("never", None, 5), as_of_ms=2)
    assert kept(path) == ([entry("c", "1", 2), entry("a", "2", 3)], 2)


def test_the_newest_of_a_key_counts_within_one_batch(path: Path) -> None:
    keep(path, entry("a", "1", 0), entry("a", None, 1), entry("b", None, 2), entry("b", "2", 3))
    assert kept(path)[0] == [entry("b", "2", 3)]


def test_what_was_read_whole_replaces_all_that_was_kept(path: Path) -> None:
    """Also where the topic was made anew, and begins at 0 again with other contents."""
    keep(path, entry("gone", "1", 7), entry("other", "1", 8), entry("same", "1", 1))
    keep(path, entry("other", "2", 8), entry("same", "1", 1), entry("dead", None, 2), whole=True)
    assert kept(path)[0] == [entry("same", "1", 1), entry("other", "2", 8)]


def test_the_programme_of_another_log_is_thrown_away(path: Path) -> None:
    keep(path, entry("a", "1", 0))
    assert kept(path, "Kafka, 'ours-'") == ([], None)
    assert kept(path) == ([], None), "for good"


def write(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


def newer(path: Path) -> None:
    write(path, "pragma user_version = 2")


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database" * 1_000)


def broken_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4_096:8_192] = b"\xff" * 4_096
    path.write_bytes(content)


def without_source(path: Path) -> None:
    write(path, "drop table meta")


@pytest.mark.parametrize("spoil", [newer, garbage, broken_page, without_source])
def test_a_file_of_no_use_is_thrown_away_with_a_word(
    path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    keep(path, entry("a", "1", 0))
    spoil(path)
    assert kept(path) == ([], None)
    assert [line.message for line in caplog.records] == ["tracker.kept_programme_thrown_away"]
    keep(path, entry("b", "1", 0), as_of_ms=3)
    assert kept(path) == ([entry("b", "1", 0)], 3)


@pytest.mark.parametrize("column", ["value", "headers"])
def test_a_damaged_record_is_left_out_and_the_others_count(
    path: Path, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(path, entry("a", "1", 0), entry("b", "1", 1))
    write(path, f"update record set {column} = x'c1' where key = cast('a' as blob)")
    assert kept(path) == ([entry("b", "1", 1)], 1)
    assert [line.message for line in caplog.records] == ["tracker.kept_record_damaged"]
    keep(path, entry("a", "1", 0), entry("b", "1", 1), whole=True)
    assert kept(path)[0] == [entry("a", "1", 0), entry("b", "1", 1)], "mended"


def test_where_no_file_can_be_had_nothing_is_kept_and_nobody_goes_unanswered(path: Path) -> None:
    path.parent.write_text("a file where the folder should be")
    opened = KeptProgramme(path, "embedded")
    opened.keep([entry("a", "1", 0)], as_of_ms=1, whole=True)
    assert list(opened.records()) == [entry("a", "1", 0)]
    opened.close()
    assert kept(path) == ([], None)


def test_what_cannot_be_read_just_now_is_not_thrown_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(path, entry("a", "1", 0))

    def broken(folder: Path, **_: object) -> apsw.Connection:
        if folder == path:
            raise apsw.IOError("the disk does not answer")
        return open_database(folder, synchronous="FULL", cache_mb=1)

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "open_database", broken)
        assert kept(path) == ([], None)
    assert kept(path) == ([entry("a", "1", 0)], 1)
