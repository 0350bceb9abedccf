"""A profile and the place of its postcode give what rules and mails see."""

from __future__ import annotations

from services.segmenter.people.places.areas import AreaRef, Place
from services.segmenter.people.portrait import Area, paint
from services.segmenter.people.profiles import NOBODY_YET, fold
from tests.unit.people.stating import ADA, statement

FALKIRK = Place(
    "FK2 7AA",
    (AreaRef("postcode_sector", "FK2 7"), AreaRef("local_authority", "S12000014")),
    56.0,
    -3.77,
    "known",
    None,
)
NOWHERE = Place("FK2 9ZZ", (AreaRef("postcode_sector", "FK2 9"),), None, None, "unknown", "why")


def test_given_areas_beat_derived_ones_and_say_where_they_are_from() -> None:
    profile = fold(
        NOBODY_YET,
        statement(
            source="register", given_areas={"local_authority": "S12000036", "ward": "S13003000"}
        ),
    )
    areas = paint(ADA, profile, FALKIRK).areas
    assert areas["local_authority"] == Area("S12000036", True, "register")
    assert areas["ward"] == Area("S13003000", True, "register")
    assert areas["postcode_sector"] == Area("FK2 7", False, "postcode")


def test_a_given_area_taken_back_lets_the_derived_one_through() -> None:
    profile = fold(NOBODY_YET, statement(1, given_areas={"local_authority": "S12000036"}))
    profile = fold(profile, statement(2, given_areas={"local_authority": ""}))
    assert paint(ADA, profile, FALKIRK).areas["local_authority"].code == "S12000014"


def test_a_postcode_that_is_not_known_is_flagged_and_kept_as_typed() -> None:
    profile = fold(NOBODY_YET, statement(profile={"postcode": "fk29zz"}))
    portrait = paint(ADA, profile, NOWHERE)
    assert portrait.place_status == "unknown"
    assert portrait.flags == ("postcode unknown",)
    assert portrait.postcode == "FK2 9ZZ"
    malformed = paint(ADA, profile, Place(None, (), None, None, "malformed", "why"))
    assert malformed.postcode == "fk29zz"


def test_somebody_with_a_given_area_is_placed_without_a_postcode() -> None:
    profile = fold(NOBODY_YET, statement(given_areas={"precinct": "12-04"}))
    assert paint(ADA, profile, None).place_status == "given"
    assert paint(ADA, NOBODY_YET, None).place_status is None


def test_what_was_taken_back_is_not_shown() -> None:
    profile = fold(NOBODY_YET, statement(1, attributes={"a": 1, "b": False}, tags_added=("t",)))
    profile = fold(profile, statement(2, attributes={"a": None}, tags_removed=("t",)))
    portrait = paint(ADA, profile, None)
    assert portrait.attributes == {"b": False}
    assert portrait.tags == frozenset()
