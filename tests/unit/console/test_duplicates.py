"""People and inboxes that stand in one file more than once."""

from __future__ import annotations

from services.console.csv_files import BadRow, Row
from services.console.duplicates import Duplicates, SharedInbox
from services.console.supporter_rows import Refusal
from services.console.survey import survey
from tests.unit.console.rows import taken


def test_the_same_row_again_is_left_out_and_noted() -> None:
    seen = Duplicates()
    first = taken(2, external_id="7", email="a@example.org", first_name="Ann")
    assert seen.look(first) is first
    assert seen.look(taken(9, external_id="7", email="A@Example.org", first_name="Ann")) is None
    assert seen.repeated == [9]


def test_the_same_external_id_with_other_details_is_refused_with_the_earlier_line() -> None:
    seen = Duplicates()
    seen.look(taken(2, external_id="7", email="a@example.org"))
    found = seen.look(taken(9, external_id="7", email="b@example.org"))
    assert isinstance(found, Refusal)
    assert found.reason.startswith("external_id: on line 2 already")


def test_the_same_address_without_external_ids_is_the_same_person() -> None:
    seen = Duplicates()
    seen.look(taken(2, email="a@example.org", first_name="Ann"))
    found = seen.look(taken(3, email="a@example.org", first_name="Anna"))
    assert isinstance(found, Refusal)
    assert found.reason.startswith("email: on line 2 already")


def test_two_people_with_one_address_are_both_kept_and_reported() -> None:
    seen = Duplicates()
    ann = taken(2, external_id="7", email="muir@example.org")
    bob = taken(3, external_id="8", email="Muir@example.org")
    assert [seen.look(ann), seen.look(bob)] == [ann, bob]
    assert seen.shared == [SharedInbox(2, 3)]


def test_the_survey_knows_before_the_first_row_is_written_who_shares_an_inbox() -> None:
    columns = {"external_id": 0, "email": 1}
    rows: list[Row | BadRow] = [
        Row(2, ("7", "Muir@example.org")),
        Row(3, ("9", "alone@example.org")),
        BadRow(4, (), "not CSV"),
        Row(5, ("8", "muir@example.org")),
        Row(6, ("9", "alone@example.org")),
        Row(7, ("10", "no address")),
    ]
    found = survey(rows, columns)
    assert found.rows == 6
    assert found.shares_inbox("muir@example.org")
    assert not found.shares_inbox("alone@example.org")
    assert not found.shares_inbox(None)
