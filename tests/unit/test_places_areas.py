"""What the spelling, the directory and the grid say is put together without invention."""

from __future__ import annotations

import pytest

from services.segmenter.people.places.areas import AreaRef, Place, names_an_area, place_of
from services.segmenter.people.places.coordinates import Point
from services.segmenter.people.places.directory import Known
from services.segmenter.people.places.postcode import MalformedPostcode, parse

POSTCODE = parse("FK2 7AA")
SECTOR = AreaRef("postcode_sector", "FK2 7")
DISTRICT = AreaRef("postcode_district", "FK2")


def test_a_known_postcode_has_its_areas_from_the_smallest_and_its_point() -> None:
    row = Known(POSTCODE, "S12000014", (289604, 680331))
    assert place_of(POSTCODE, row, Point(56.003, -3.772)) == Place(
        "FK2 7AA",
        (SECTOR, DISTRICT, AreaRef("local_authority", "S12000014")),
        56.003,
        -3.772,
        "known",
        None,
    )


@pytest.mark.parametrize("code", [None, "L99999999", "M99999999", "S99999999"])
def test_a_known_postcode_without_authority_or_grid_keeps_sector_and_district(
    code: str | None,
) -> None:
    place = place_of(POSTCODE, Known(POSTCODE, code, None), None)
    assert place == Place("FK2 7AA", (SECTOR, DISTRICT), None, None, "known", None)


def test_an_unknown_postcode_is_flagged_and_keeps_what_its_spelling_says() -> None:
    place = place_of(POSTCODE, None, None)
    assert (place.status, place.postcode, place.areas) == (
        "unknown",
        "FK2 7AA",
        (SECTOR, DISTRICT),
    )
    assert place.latitude is None
    assert place.longitude is None
    assert place.reason is not None


def test_a_malformed_postcode_has_no_areas_and_the_reason_it_was_refused_for() -> None:
    place = place_of(MalformedPostcode("'FK2' is a district"), None, None)
    assert place == Place(None, (), None, None, "malformed", "'FK2' is a district")


@pytest.mark.parametrize("code", ["E07000028", "E06000057", "S12000014", "W06000015", "N09000003"])
def test_codes_of_the_four_nations_name_areas(code: str) -> None:
    assert names_an_area(code)


@pytest.mark.parametrize("code", ["", " ", "E99999999", "L99999999", "L93000001", "M01000001"])
def test_pseudo_codes_name_no_area(code: str) -> None:
    assert not names_an_area(code)
