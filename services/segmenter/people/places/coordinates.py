"""Turns grid references into latitude and longitude (WGS 84 degrees).

The operations are written out, not looked up by the codes of their grids: given only the codes,
PROJ takes a finer correction grid where one happens to be installed, or fetches it over the
network, and two machines would then place the same postcode metres apart. Written out, they are
within three metres of the published coordinates everywhere, and the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from pyproj import Transformer

from services.segmenter.people.places.directory import Known
from services.segmenter.people.places.postcode import Postcode

# EPSG:27700, British National Grid, by way of EPSG:1314 (OSGB36 to WGS 84, two metres).
_BRITISH_NATIONAL_GRID: Final = """
    proj=pipeline
    step inv proj=tmerc lat_0=49 lon_0=-2 k=0.9996012717 x_0=400000 y_0=-100000 ellps=airy
    step proj=push v_3
    step proj=cart ellps=airy
    step proj=helmert convention=position_vector
         x=446.448 y=-125.157 z=542.06 rx=0.15 ry=0.247 rz=0.842 s=-20.489
    step inv proj=cart ellps=WGS84
    step proj=pop v_3
    step proj=unitconvert xy_in=rad xy_out=deg
"""
# EPSG:29902, Irish Grid, by way of EPSG:1641 (TM65 to WGS 84, one metre).
_IRISH_GRID: Final = """
    proj=pipeline
    step inv proj=tmerc lat_0=53.5 lon_0=-8 k=1.000035 x_0=200000 y_0=250000
         a=6377340.189 rf=299.3249646
    step proj=push v_3
    step proj=cart a=6377340.189 rf=299.3249646
    step proj=helmert convention=position_vector
         x=482.5 y=-130.6 z=564.6 rx=-1.042 ry=-0.214 rz=-0.631 s=8.15
    step inv proj=cart ellps=WGS84
    step proj=pop v_3
    step proj=unitconvert xy_in=rad xy_out=deg
"""
_DECIMALS: Final = 6
"""A tenth of a metre, as the postcode directories of the ONS print it."""


class Point(NamedTuple):
    """Degrees, north and east positive."""

    latitude: float
    longitude: float


class GridReader:
    """Both grids of the directory, ready to convert. Made once; safe to share between threads."""

    def __init__(self) -> None:
        self._british = Transformer.from_pipeline(_BRITISH_NATIONAL_GRID)
        self._irish = Transformer.from_pipeline(_IRISH_GRID)

    def points(self, rows: Sequence[Known | None]) -> list[Point | None]:
        """One point for each row, in the same order; None for no row and for no grid reference."""
        points: list[Point | None] = [None] * len(rows)
        british: list[int] = []
        irish: list[int] = []
        for place, row in enumerate(rows):
            if row is not None and row.grid is not None:
                (irish if on_irish_grid(row.postcode) else british).append(place)
        for transformer, places in ((self._british, british), (self._irish, irish)):
            grids = [row.grid for place in places if (row := rows[place]) and row.grid]
            for place, point in zip(places, _converted(transformer, grids), strict=True):
                points[place] = point
        return points


def on_irish_grid(postcode: Postcode) -> bool:
    """The directory gives Northern Ireland on the Irish Grid, and all else on the British one."""
    return postcode.outward.startswith("BT")


def _converted(transformer: Transformer, grids: Sequence[tuple[int, int]]) -> list[Point | None]:
    if not grids:
        return []
    eastings, northings = zip(*grids, strict=True)
    longitudes, latitudes = transformer.transform(eastings, northings)
    return [
        Point(round(latitude, _DECIMALS), round(longitude, _DECIMALS))
        if math.isfinite(latitude) and math.isfinite(longitude)
        else None
        for latitude, longitude in zip(latitudes, longitudes, strict=True)
    ]
