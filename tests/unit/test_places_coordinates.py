"""Grid references become points: each on its own grid, in order, and none where there is none."""

from __future__ import annotations

from math import cos, hypot, radians

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from services.segmenter.people.places.coordinates import GridReader, Point, on_irish_grid
from services.segmenter.people.places.directory import Known
from services.segmenter.people.places.postcode import parse

METRES_PER_DEGREE = 111_200
FALKIRK = Known(parse("FK1 1AE"), "S12000014", (288968, 679834))
BELFAST = Known(parse("BT1 1AA"), "N09000003", (334316, 374675))
NOWHERE = Known(parse("SR43 2AA"), None, None)

reader = GridReader()
british_by_code = Transformer.from_crs(27700, 4326, always_xy=True, allow_ballpark=False)
irish_by_code = Transformer.from_crs(29902, 4326, always_xy=True, allow_ballpark=False)


def metres_between(one: Point, other: Point) -> float:
    return hypot(
        (one.latitude - other.latitude) * METRES_PER_DEGREE,
        (one.longitude - other.longitude) * METRES_PER_DEGREE * cos(radians(one.latitude)),
    )


def point_of(row: Known) -> Point:
    (point,) = reader.points([row])
    assert point is not None
    return point


def test_a_british_postcode_falls_where_the_published_directory_puts_it() -> None:
    assert metres_between(point_of(FALKIRK), Point(55.998556, -3.781837)) < 3


def test_a_belfast_postcode_is_read_on_the_irish_grid() -> None:
    assert point_of(BELFAST) == pytest.approx(Point(54.60, -5.93), abs=0.01)


def test_only_northern_ireland_is_on_the_irish_grid() -> None:
    assert on_irish_grid(parse("BT1 1AA"))
    assert not on_irish_grid(parse("B1 1AA"))
    assert not on_irish_grid(parse("BA1 1AA"))


def test_points_come_in_the_order_of_the_rows_with_gaps_where_there_is_no_grid() -> None:
    rows = [BELFAST, None, FALKIRK, NOWHERE, BELFAST]
    belfast, falkirk = point_of(BELFAST), point_of(FALKIRK)
    assert reader.points(rows) == [belfast, None, falkirk, None, belfast]
    assert reader.points([]) == []


@given(st.integers(200_000, 600_000), st.integers(50_000, 1_000_000))
def test_our_british_operation_stays_with_the_one_kept_by_the_grid_code(
    easting: int, northing: int
) -> None:
    longitude, latitude = british_by_code.transform(easting, northing)
    ours = point_of(Known(FALKIRK.postcode, None, (easting, northing)))
    assert metres_between(ours, Point(latitude, longitude)) < 10


@given(st.integers(190_000, 370_000), st.integers(310_000, 450_000))
def test_our_irish_operation_stays_with_the_one_kept_by_the_grid_code(
    easting: int, northing: int
) -> None:
    longitude, latitude = irish_by_code.transform(easting, northing)
    ours = point_of(Known(BELFAST.postcode, None, (easting, northing)))
    assert metres_between(ours, Point(latitude, longitude)) < 10
