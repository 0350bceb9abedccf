"""What the tables show of a supporter: a profile and the place of its postcode, put together.

Areas given by a source win over those that follow from the postcode, and say where they are from.
Pure; `profile_store` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.segmenter.people import samples
from services.segmenter.people.attribute_values import Shaped, shaped
from services.segmenter.people.places.areas import Place
from services.segmenter.people.profiles import Profile
from services.segmenter.people.standing import Standing, address_flags, standing_of

BY_POSTCODE: Final = "postcode"
"""The provenance of derived areas; a given one names its source."""


TO_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Area(NamedTuple):
    """The code of an area, whether a source gave it, and where it is from."""

    code: str
    given: bool
    provenance: str


@dataclass(slots=True)
class Portrait:
    """A supporter as rules and mails see them. `language` is as stated. Never changed once made."""

    supporter_id: str
    standing: Standing
    address_key: str | None
    language: str | None
    postcode: str | None
    place_status: str | None
    latitude: float | None
    longitude: float | None
    tags: frozenset[str]
    attributes: Mapping[str, str | int | float | bool]
    areas: Mapping[str, Area]
    flags: tuple[str, ...]

    def shapes(self) -> dict[str, Shaped]:
        """The attributes as rules compare them."""
        return {name: shaped(value) for name, value in self.attributes.items()}

    def areas_json(self) -> str:
        """Kind to [code, provenance], in a fixed order."""
        return TO_JSON.encode(dict(sorted(self.areas.items())))

    def bucket(self) -> int:
        return samples.bucket("", self.supporter_id)


def paint(supporter_id: str, profile: Profile, place: Place | None) -> Portrait:
    """`place` is of the profile's postcode; None when there is none."""
    areas = _areas(profile, place)
    given = any(area.given for area in areas.values())
    status = place.status if place is not None else None
    flags = address_flags(profile)
    if status in ("unknown", "malformed"):
        flags.append(f"postcode {status}")
    return Portrait(
        supporter_id=supporter_id,
        standing=standing_of(profile),
        address_key=profile.address_key,
        language=profile.text("language"),
        postcode=(place.postcode if place is not None else None) or profile.text("postcode"),
        place_status="given" if given and status != "known" else status,
        latitude=place.latitude if place is not None else None,
        longitude=place.longitude if place is not None else None,
        tags=frozenset(tag for tag, stated in profile.tags.items() if stated.value),
        attributes={
            name: stated.value
            for name, stated in profile.attributes.items()
            if stated.value is not None
        },
        areas=areas,
        flags=tuple(flags),
    )


def _areas(profile: Profile, place: Place | None) -> dict[str, Area]:
    areas: dict[str, Area] = {}
    if place is not None:
        areas = {ref.kind: Area(ref.code, False, BY_POSTCODE) for ref in place.areas}
    for kind, stated in profile.areas.items():
        if stated.code is not None:
            areas[kind] = Area(stated.code, True, stated.source)
    return areas
