"""What one row of a supporters file states, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.csv_files import Row
from services.console.role_addresses import role_of
from services.console.statements import statement
from services.console.supporter_rows import (
    FIELDS,
    GivenConsent,
    Refusal,
    Shapes,
    Supporter,
    read_day,
)
from services.segmenter.people.standing import NEVER_MAILED
from services.segmenter.people.statements import read_statement
from shared.ids import SupporterId
from tests.unit.console.rows import CONSENTED, NOW, SECRET, read_with, refused, taken


def test_the_address_is_taken_in_its_one_spelling() -> None:
    assert taken(email=" Ann.Muir+News@Example.ORG ").email == "ann.muir+news@example.org"


@pytest.mark.parametrize("address", ["ann", "ann@", "a b@example.org", "ann@example", "a@@b.org"])
def test_what_is_no_address_is_refused_even_with_an_external_id(address: str) -> None:
    reason = refused(external_id="7", email=address)
    assert reason.startswith("email: no address that mail can reach")
    assert address not in reason


def test_a_row_that_names_nobody_is_refused() -> None:
    assert "nobody is named" in refused(email="", external_id="", first_name="Ann")


def test_somebody_without_an_address_is_kept_and_flagged() -> None:
    assert "no address" in taken(external_id="7", email="").flags


def test_consent_is_wording_source_and_time_or_none_at_all() -> None:
    assert taken(email="a@example.org", **CONSENTED).consent is not None
    for missing in CONSENTED:
        partly = taken(email="a@example.org", **(CONSENTED | {missing: ""}))
        assert partly.consent is None
        assert "no consent" in partly.flags


def test_what_the_row_says_of_consent_wins_over_what_was_said_of_all() -> None:
    said = GivenConsent("For all", "sign-in sheet", datetime(2026, 1, 1, tzinfo=UTC))
    found = read_with({"email": "a@example.org", "consent_source": "doorstep"}, consent=said)
    assert isinstance(found, Supporter)
    assert found.consent is not None
    assert (found.consent.wording, found.consent.source) == ("For all", "doorstep")


@pytest.mark.parametrize("said", ["01/02/2026", "yesterday", "2026-13-01"])
def test_a_date_that_could_be_read_two_ways_is_refused(said: str) -> None:
    assert "is no date" in refused(email="a@example.org", **(CONSENTED | {"consent_at": said}))


def test_a_consent_of_tomorrow_is_refused() -> None:
    later = CONSENTED | {"consent_at": "2026-06-01"}
    assert refused(email="a@example.org", **later) == "consent_at: in the future"


def test_an_empty_cell_says_nothing() -> None:
    found = taken(
        email="a@example.org", first_name="", tags=" ; ", attribute__age="", area__ward=""
    )
    assert (found.profile, found.tags, found.attributes, found.areas) == ({}, (), {}, {})


def test_control_characters_and_runs_of_blanks_become_one_blank() -> None:
    assert taken(email="a@example.org", first_name="Ann\r\n\tBcc:  x").profile == {
        "first_name": "Ann Bcc: x"
    }


def test_tags_are_separated_by_semicolons_and_kept_once() -> None:
    assert taken(email="a@example.org", tags="member; helper;member").tags == ("member", "helper")


@pytest.mark.parametrize("mailbox", ["abuse", "postmaster", "NoReply", "no-reply+x"])
def test_technical_mailboxes_are_refused(mailbox: str) -> None:
    assert "never mailed" in refused(email=f"{mailbox}@example.org")


@pytest.mark.parametrize("mailbox", ["info", "Office", "hello+crm"])
def test_role_addresses_are_kept_and_flagged(mailbox: str) -> None:
    assert "role address" in taken(email=f"{mailbox}@example.org").flags


def test_whom_the_segmenter_never_mails_is_never_taken_as_a_person() -> None:
    assert {name for name in NEVER_MAILED if role_of(f"{name}@example.org") != "never"} == set()


def test_a_language_that_is_none_is_refused_and_one_for_all_fills_the_gaps() -> None:
    assert refused(email="a@example.org", language="english!").startswith("language:")
    found = read_with({"email": "a@example.org"}, language="gd")
    assert isinstance(found, Supporter)
    assert found.profile["language"] == "gd"


def test_what_an_attribute_is_is_decided_over_the_whole_file() -> None:
    shapes = Shapes({"attribute.age": 0, "attribute.ref": 1, "attribute.member": 2})
    for cells in (("18", "12", "true"), ("40.5", "A12", "FALSE"), ("", "", "")):
        shapes.look(Row(2, cells))
    found = shapes.found()
    assert found == {
        "attribute.age": "number", "attribute.ref": "text", "attribute.member": "yes_no",
    }  # fmt: skip
    said = {"attribute.age": "18", "attribute.ref": "12", "attribute.member": "True"}
    row = read_with({"external_id": "7"} | said, shapes=found)
    assert isinstance(row, Supporter)
    assert row.attributes == {"age": 18, "ref": "12", "member": True}
    assert row.attributes["member"] is True


@pytest.mark.parametrize("text", ["0131 496 0000", "007", "1e9", "+44", "12345678901234567890"])
def test_what_only_looks_like_a_number_stays_text(text: str) -> None:
    shapes = Shapes({"attribute.x": 0})
    shapes.look(Row(2, (text,)))
    assert shapes.found() == {"attribute.x": "text"}


@pytest.mark.parametrize(
    ("field", "length"), [("first_name", 1_001), ("external_id", 201), ("tags", 201)]
)
def test_what_the_segmenter_would_refuse_is_refused_here(field: str, length: int) -> None:
    assert "longer than" in refused(**{"email": "a@example.org", field: "x" * length})


def test_a_kind_of_area_has_a_plain_name() -> None:
    assert taken(external_id="7", area__ward="S13002936").areas == {"ward": "S13002936"}
    assert "cannot be a kind of area" in refused(external_id="7", **{"area__My Ward": "x"})


def test_days_and_times_are_read_and_a_time_without_a_zone_is_utc() -> None:
    assert read_day("2026-03-21") == datetime(2026, 3, 21, tzinfo=UTC)
    assert read_day("2026-03-21T18:30") == datetime(2026, 3, 21, 18, 30, tzinfo=UTC)
    assert read_day("2026-03-21T18:30+01:00") == datetime(2026, 3, 21, 17, 30, tzinfo=UTC)


CELLS = st.text(max_size=60) | st.sampled_from(["a@example.org", "2026-01-01", "x" * 300, "gd"])


@given(st.dictionaries(st.sampled_from([*FIELDS.names, "attribute.a", "area.ward"]), CELLS))
def test_any_row_is_taken_or_refused_and_what_is_taken_the_segmenter_takes(
    cells: dict[str, str],
) -> None:
    row = read_with({name: cell.strip() for name, cell in cells.items()})
    if isinstance(row, Refusal):
        assert row.reason
        return
    change = statement(row, SupporterId("7e0c6a5e-0000-8000-8000-000000000000"), "crm", NOW)
    stated = read_statement(change, SECRET, NOW)
    assert stated.address_key == row.key
