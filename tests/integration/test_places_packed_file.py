"""A packed file gives back the rows it was made from, and a file that is not whole is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.people.places.packed import (
    DamagedFile,
    PackedLetter,
    UnsortedRows,
    key_of,
    pack,
    write_whole,
)
from services.segmenter.people.places.release import LetterRows

THREE = LetterRows(
    ["FK1 1AA", "FK101AA", "FK2 7AA"],
    ["S12000014", None, "L99999999"],
    [(288795, 680221), None, (0, 1_213_615)],
)

wide_postcodes = st.text("ABFK 0129", min_size=7, max_size=7)
authorities = st.none() | st.sampled_from(["S12000014", "E07000028", "L99999999"])
grids = st.none() | st.tuples(st.integers(0, 700_000), st.integers(0, 1_300_000))


@given(st.dictionaries(wide_postcodes, st.tuples(authorities, grids), max_size=40), wide_postcodes)
def test_every_row_is_found_again_and_no_other(
    rows: dict[str, tuple[str | None, tuple[int, int] | None]], stranger: str
) -> None:
    ordered = sorted(rows)
    content = pack(
        LetterRows(ordered, [rows[one][0] for one in ordered], [rows[one][1] for one in ordered])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "F.rows"
        write_whole(path, content)
        packed = PackedLetter(path)
    assert [packed.postcode(place) for place in range(len(packed))] == ordered
    for postcode, (authority, grid) in rows.items():
        place = packed.find(key_of(postcode))
        assert place is not None
        assert (packed.authority(place), packed.grid(place)) == (authority, grid)
    assert (packed.find(key_of(stranger)) is None) == (stranger not in rows)


def test_a_span_takes_in_both_its_ends(tmp_path: Path) -> None:
    write_whole(tmp_path / "F.rows", pack(THREE))
    packed = PackedLetter(tmp_path / "F.rows")
    assert packed.span(key_of("FK1 1AA"), key_of("FK101AA")) == range(2)
    assert packed.span(key_of("FK3 1AA"), key_of("FK4 1AA")) == range(3, 3)


@pytest.mark.parametrize("order", [["FK2 7AA", "FK1 1AA"], ["FK1 1AA", "FK1 1AA"]])
def test_rows_out_of_order_or_twice_there_cannot_be_packed(order: list[str]) -> None:
    with pytest.raises(UnsortedRows):
        pack(LetterRows(order, [None, None], [None, None]))


@pytest.mark.parametrize("kept_bytes", [0, 10, 30, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept_bytes: int) -> None:
    path = tmp_path / "F.rows"
    path.write_bytes(pack(THREE)[:kept_bytes])
    with pytest.raises(DamagedFile):
        PackedLetter(path)


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "F.rows"
    path.write_bytes(b"X" + pack(THREE)[1:])
    with pytest.raises(DamagedFile):
        PackedLetter(path)


def test_writing_leaves_the_file_alone_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "F.rows"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]
