"""Typed postcodes become places, and agree with another publication of the same directory."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from math import cos, hypot, radians
from pathlib import Path

import pytest

from services.segmenter.people.places.areas import AreaRef, Place, Resolver
from services.segmenter.people.places.coordinates import GridReader
from services.segmenter.people.places.directory import Directory

METRES_PER_DEGREE = 111_200
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FALKIRK_2021 = DATA / "uk-nspl-nov2021" / "NSPL_NOV_2021_UK_FK.csv.gz"
EDGE_CASES_2021 = DATA / "uk-nspl-nov2021" / "edge_cases.csv"
EDINBURGH_2025 = DATA / "uk-latlong-may2025" / "EH.csv.gz"


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Resolver:
    return Resolver(Directory.open(tmp_path_factory.mktemp("cache")), GridReader())


def live_rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from (row for row in csv.DictReader(lines) if not row["doterm"])


def metres_from(place: Place, row: dict[str, str]) -> float:
    """Distance from the published coordinates, near enough for a city."""
    assert place.latitude is not None
    assert place.longitude is not None
    return hypot(
        (place.latitude - float(row["lat"])) * METRES_PER_DEGREE,
        (place.longitude - float(row["long"])) * METRES_PER_DEGREE * cos(radians(place.latitude)),
    )


def authority(place: Place) -> str | None:
    return next((area.code for area in place.areas if area.kind == "local_authority"), None)


def test_a_typed_postcode_becomes_its_areas_and_a_point(resolver: Resolver) -> None:
    place = resolver.resolve(" bt1-1aa")
    assert place.status == "known"
    assert place.postcode == "BT1 1AA"
    assert place.areas == (
        AreaRef("postcode_sector", "BT1 1"),
        AreaRef("postcode_district", "BT1"),
        AreaRef("local_authority", "N09000003"),
    )
    assert place.latitude == pytest.approx(54.60, abs=0.01)
    assert place.longitude == pytest.approx(-5.93, abs=0.01)


def test_a_mixed_list_is_answered_in_order_and_nothing_raises(resolver: Resolver) -> None:
    typed = ["FK2 7AA", "", "FK99 9ZZ", "BT1 1AA", "FK2", "SR43 2AA", "JE1 0BD", "IM1 1AE"]
    places = resolver.resolve_many(typed)
    assert places == [resolver.resolve(one) for one in typed]
    assert [place.status for place in places] == [
        "known",
        "malformed",
        "unknown",
        "known",
        "malformed",
        "known",
        "known",
        "known",
    ]
    assert [place.latitude is not None for place in places] == [
        place.postcode in {"FK2 7AA", "BT1 1AA"} for place in places
    ]
    assert [len(place.areas) for place in places] == [3, 0, 2, 3, 0, 2, 2, 2]


@pytest.mark.skipif(not FALKIRK_2021.exists(), reason="the 2021 postcode lookup is not here")
def test_live_falkirk_postcodes_agree_with_the_lookup_of_2021(resolver: Resolver) -> None:
    rows = list(live_rows(FALKIRK_2021))
    places = resolver.resolve_many(row["pcds"] for row in rows)
    assert all(place.status == "known" for place in places)
    agreeing = sum(
        authority(place) == row["laua"] and metres_from(place, row) < 100
        for place, row in zip(places, rows, strict=True)
        if place.latitude is not None
    )
    assert len(rows) > 7_000
    assert agreeing >= 0.99 * len(rows)


@pytest.mark.skipif(not EDINBURGH_2025.exists(), reason="the 2025 coordinates are not here")
def test_edinburgh_postcodes_fall_where_the_coordinates_of_2025_put_them(
    resolver: Resolver,
) -> None:
    with gzip.open(EDINBURGH_2025, "rt", encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["lat"]]
    places = resolver.resolve_many(row["Postcode"] for row in rows)
    within = [
        metres_from(place, row)
        for place, row in zip(places, rows, strict=True)
        if place.latitude is not None
    ]
    assert len(rows) > 33_000
    assert sum(metres < 100 for metres in within) >= 0.99 * len(rows)
    assert sum(metres < 5 for metres in within) >= 0.95 * len(rows)


@pytest.mark.skipif(not EDGE_CASES_2021.exists(), reason="the 2021 postcode lookup is not here")
def test_the_odd_cases_of_2021_have_a_point_or_none_as_published(resolver: Resolver) -> None:
    with EDGE_CASES_2021.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row, place in zip(rows, resolver.resolve_many(row["pcd"] for row in rows), strict=True):
        assert place.postcode == row["pcds"]
        assert (place.latitude is not None) == (row["osgrdind"] != "9")
        if place.latitude is not None:
            assert metres_from(place, row) < 250
            assert authority(place) is not None
        else:
            assert authority(place) is None
