"""From a row to the record of a change, and what it would do to somebody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from services.console.identities import Known, Person, same_person
from services.console.statements import effect, statement, statement_record
from shared.ids import SupporterId, supporter_id_from_address, supporter_id_from_external
from tests.unit.console.rows import CONSENTED, NOW, SECRET, taken

ID = SupporterId("7e0c6a5e-0000-8000-8000-000000000000")


def record(line: int, first_name: str = "Ann", later: int = 0) -> object:
    row = taken(line, external_id="7", email="a@example.org", first_name=first_name)
    change = statement(row, ID, "crm", NOW + timedelta(seconds=later))
    return statement_record(change, row.digest, 24)


def test_the_same_row_gives_the_same_record_wherever_it_stands() -> None:
    assert record(2) == record(99)


def test_another_content_or_time_is_another_record() -> None:
    assert record(2) != record(2, first_name="Anna")
    assert record(2) != record(2, later=1)


def test_an_import_never_says_anything_of_the_subscription() -> None:
    change = statement(taken(external_id="7", **CONSENTED), ID, "crm", NOW)
    assert change.subscription is None
    assert change.stated_by == "import"


def test_what_is_known_already_changes_nothing() -> None:
    row = taken(
        external_id="7", email="a@example.org", first_name="Ann", tags="member",
        attribute__age="18", area__ward="W1", **CONSENTED,
    )  # fmt: skip
    change = statement(row, ID, "crm", NOW)
    known = Known(
        ID, "mailable", fields={"email": "a@example.org", "first_name": "Ann", "postcode": "FK1"},
        attributes={"age": "18"}, tags=frozenset({"member", "helper"}), areas={"ward": "W1"},
    )  # fmt: skip
    assert effect(change, None) == "new"
    assert effect(change, known) == "unchanged"


def test_each_difference_is_a_change() -> None:
    row = taken(external_id="7", first_name="Ann", tags="member", area__ward="W1", **CONSENTED)
    change = statement(row, ID, "crm", NOW)
    same = Known(
        ID, "mailable", fields={"first_name": "Ann"}, tags=frozenset({"member"}),
        areas={"ward": "W1"},
    )  # fmt: skip
    assert effect(change, same) == "unchanged"
    for other in (
        replace(same, fields={"first_name": "Bob"}),
        replace(same, tags=frozenset()),
        replace(same, areas={"ward": "W2"}),
        replace(same, standing="no_consent"),
    ):
        assert effect(change, other) == "changed"


def test_ids_are_derived_from_the_external_id_before_the_address() -> None:
    key = taken(email="a@example.org").key
    assert key is not None
    both = Person("crm", "7", key)
    assert both.derived(SECRET) == supporter_id_from_external("crm", "7", SECRET)
    assert Person(key=key).derived(SECRET) == supporter_id_from_address(key, SECRET)


def test_another_first_name_at_a_known_address_is_somebody_else_of_the_household() -> None:
    ann = Known(ID, fields={"first_name": "Ann"})
    assert same_person("7", "ANN", ann)
    assert same_person("7", None, ann)
    assert not same_person("8", "Bob", ann)
    assert same_person(None, "Bob", ann), "without an external id the address is all there is"
