"""Files of rows, as bad as they come: encodings, delimiters, quotes, lengths."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.csv_files import BadFile, BadRow, Row, open_csv


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def rows_of(path: Path, encoding: str | None = None) -> list[Row | BadRow]:
    return list(open_csv(path, encoding).rows())


def test_a_mark_at_the_beginning_is_no_part_of_the_first_column(written: Path) -> None:
    written.write_bytes(codecs.BOM_UTF8 + b"email,first_name\na@example.org,Ann\n")
    assert open_csv(written).header == ("email", "first_name")
    assert rows_of(written) == [Row(2, ("a@example.org", "Ann"))]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_seen_in_the_first_line(written: Path, delimiter: str) -> None:
    written.write_text(f'email{delimiter}"last, first; name"\na@example.org{delimiter}Ann\n')
    assert open_csv(written).delimiter == delimiter
    assert open_csv(written).header == ("email", "last, first; name")


def test_the_line_that_excel_puts_before_the_header_is_understood(written: Path) -> None:
    written.write_text("sep=;\nemail;name\na@example.org;Ann\n")
    assert open_csv(written).header == ("email", "name")
    assert rows_of(written) == [Row(3, ("a@example.org", "Ann"))]


def test_a_byte_that_is_not_utf_8_is_named_with_its_line_and_place(written: Path) -> None:
    written.write_bytes(b"email,name\na@example.org,Ann\nb@example.org,Ren\xe9e\n")
    with pytest.raises(BadFile) as refused:
        open_csv(written)
    said = str(refused.value)
    assert f"{written}:3: byte 46 is 0xe9" in said
    assert '"é"' in said
    assert "--encoding cp1252" in said


def test_the_place_of_a_wrong_byte_counts_the_mark_before_it(written: Path) -> None:
    written.write_bytes(codecs.BOM_UTF8 + b"name\n\xff\n")
    with pytest.raises(BadFile, match=r":2: byte 8 is 0xff"):
        open_csv(written)


def test_a_wrong_byte_far_into_a_large_file_is_named_too(written: Path) -> None:
    filler = "é,x\n".encode() * 400_000
    written.write_bytes(b"a,b\n" + filler + b"\x92,x\n")
    with pytest.raises(BadFile, match=rf":400002: byte {4 + len(filler):,} is 0x92"):
        open_csv(written)


def test_another_encoding_is_read_when_it_is_said(written: Path) -> None:
    written.write_bytes("name\nRenée £5\n".encode("cp1252"))
    assert rows_of(written, "cp1252") == [Row(2, ("Renée £5",))]


def test_utf_16_is_recognised_refused_and_read_when_it_is_said(written: Path) -> None:
    written.write_bytes("name,town\nZoë,Alloa\n".encode("utf-16"))
    with pytest.raises(BadFile, match="UTF-16"):
        open_csv(written)
    assert rows_of(written, "utf-16") == [Row(2, ("Zoë", "Alloa"))]


def test_an_encoding_that_does_not_exist_is_said(written: Path) -> None:
    written.write_text("name\nAnn\n")
    with pytest.raises(BadFile, match='no text encoding "utf-9"'):
        open_csv(written, "utf-9")


def test_a_spreadsheet_or_picture_is_no_file_of_rows(written: Path) -> None:
    written.write_bytes(b"name\nPK\x00\x01\n")
    with pytest.raises(BadFile, match=":2: a NUL byte"):
        open_csv(written)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nname\nAnn\n"])
def test_an_empty_first_line_is_refused(written: Path, content: bytes) -> None:
    written.write_bytes(content)
    with pytest.raises(BadFile, match=r"empty"):
        open_csv(written)


@pytest.mark.parametrize(
    ("header", "wrong"), [("a,,b", "column 2 has no name"), ("a,b,a", 'two columns are called "a"')]
)
def test_a_header_that_is_not_clear_is_refused(written: Path, header: str, wrong: str) -> None:
    written.write_text(f"{header}\n1,2,3\n")
    with pytest.raises(BadFile, match=wrong):
        open_csv(written)


def test_a_file_that_is_not_there_is_said_in_one_sentence(written: Path) -> None:
    with pytest.raises(BadFile, match="No such file"):
        open_csv(written)


def test_rows_of_the_wrong_length_are_refused_one_by_one(written: Path) -> None:
    written.write_text("a,b\n1,2\n3\n4,5,6\n7,8,,\n\n , \n9,10\n")
    found = rows_of(written)
    assert [row.line for row in found] == [2, 3, 4, 5, 8]
    assert [type(row) for row in found] == [Row, BadRow, BadRow, Row, Row]
    assert isinstance(found[1], BadRow)
    assert found[1].reason == "1 cells, and the first line names 2 columns"


def test_a_cell_may_go_over_several_lines_and_the_next_row_knows_its_line(written: Path) -> None:
    written.write_text('a,b\n"one\ntwo",x\ny,z\n')
    assert rows_of(written) == [Row(2, ("one\ntwo", "x")), Row(4, ("y", "z"))]


def test_a_quote_that_is_never_closed_stops_the_import_where_it_was_opened(written: Path) -> None:
    lines = [f"{n},x" for n in range(2, 2_000)]
    lines[10] = '12,"x'
    written.write_text("a,b\n" + "\n".join(lines) + "\n")
    with pytest.raises(BadFile, match=rf"{written}:12: a quote is opened"):
        rows_of(written)


def test_a_stray_quote_within_one_line_costs_only_that_row(written: Path) -> None:
    written.write_text('a,b\n"x"y,1\nz,2\n')
    found = rows_of(written)
    assert isinstance(found[0], BadRow)
    assert "lost quote" in found[0].reason
    assert found[1] == Row(3, ("z", "2"))


def test_line_ends_of_every_kind_are_line_ends(written: Path) -> None:
    written.write_bytes(b"a,b\r\n1,2\r\n3,4\r5,6\n")
    assert [row.cells for row in rows_of(written)] == [("1", "2"), ("3", "4"), ("5", "6")]


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_a_clear_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "any.csv"
    path.write_bytes(content)
    try:
        csv_file = open_csv(path)
        found = list(csv_file.rows())
    except BadFile:
        return
    assert all(len(row.cells) == len(csv_file.header) for row in found if isinstance(row, Row))
