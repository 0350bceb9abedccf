"""What the columns of a file mean."""

from __future__ import annotations

import pytest

from services.console.columns import Fields, map_columns, read_pairs

FIELDS = Fields(("external_id", "email", "first_name", "last_name"), ("attribute.", "area."))


def test_capitals_blanks_and_hyphens_do_not_matter() -> None:
    mapped = map_columns(("Email", "First Name", "LAST-NAME", "Attribute.Age"), FIELDS, {}, ())
    assert mapped.columns == {"email": 0, "first_name": 1, "last_name": 2, "attribute.Age": 3}
    assert not mapped.problems


@pytest.mark.parametrize(
    ("column", "meant"),
    [("Surname", "last_name"), ("E-mail", "email"), ("frist_name", "first_name")],
)
def test_a_column_of_another_name_is_an_error_with_a_suggestion(column: str, meant: str) -> None:
    [problem] = map_columns((column,), FIELDS, {}, ()).problems
    assert f"did you mean {meant}?" in problem
    assert f'--map "{column}={meant}"' in problem
    assert f'--ignore "{column}"' in problem


def test_a_column_nobody_knows_may_be_kept_as_an_attribute_or_left_out() -> None:
    [problem] = map_columns(("Shoe size",), FIELDS, {}, ()).problems
    assert '--map "Shoe size=attribute.shoe_size"' in problem
    assert '--ignore "Shoe size"' in problem


def test_what_was_said_outright_wins() -> None:
    mapped = map_columns(
        ("Mail", "Ward", "Notes"), FIELDS, {"Mail": "email", "Ward": "area.ward"}, ("Notes",)
    )
    assert mapped.columns == {"email": 0, "area.ward": 1}
    assert not mapped.problems


def test_an_option_about_a_column_that_is_not_there_is_an_error() -> None:
    mapped = map_columns(("email",), FIELDS, {"Emial": "email"}, ("Note",))
    assert 'no column "Emial": did you mean "email"?' in mapped.problems[0]
    assert 'no column "Note"' in mapped.problems[1]


def test_a_mapping_to_a_field_that_does_not_exist_is_an_error() -> None:
    [problem] = map_columns(("Mail",), FIELDS, {"Mail": "emial"}, ()).problems
    assert 'there is no field "emial"; did you mean "email"?' in problem


def test_two_columns_for_one_field_are_an_error() -> None:
    [problem] = map_columns(("email", "Email"), FIELDS, {}, ()).problems
    assert 'the columns "email" and "Email" are both email' in problem


def test_a_mended_file_of_refused_rows_comes_back_as_it_is() -> None:
    mapped = map_columns(("refused_line", "refused_because", "email"), FIELDS, {}, ())
    assert mapped.columns == {"email": 2}
    assert not mapped.problems


def test_pairs_may_have_an_equals_sign_in_the_column() -> None:
    assert read_pairs("--map", ["a=b=email"]) == {"a=b": "email"}
    assert read_pairs("--area-column", ["ward=Ward code"], reverse=True) == {"Ward code": "ward"}


@pytest.mark.parametrize("pair", ["email", "=email", "column="])
def test_a_pair_that_is_none_says_how_to_write_it(pair: str) -> None:
    with pytest.raises(ValueError, match="COLUMN=FIELD"):
        read_pairs("--map", [pair])
