"""Dates with a time and a zone, as producers write them.

Pure but for the time zone database. A moment never depends on the machine it is read on: without
a zone or an offset it is refused, and so is a local time that a clock change skips or repeats.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timezone
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from shared.programme.problems import did_you_mean

_FORM: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ]\s*(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))?)?"
    r"\s*(?P<zone>Z|[+-]\d\d:?\d\d|[A-Za-z]+(?:[/_+-][A-Za-z0-9]+)*)?"
)

HOW_TO: Final = 'write it like "2026-05-07 21:30 Europe/London" or "2026-05-07T21:30+01:00"'


class BadMoment(ValueError):
    """Not a moment in time; `hint` says what to write."""

    def __init__(self, message: str, hint: str = HOW_TO) -> None:
        super().__init__(message)
        self.hint = hint


def parse_moment(text: str) -> datetime:
    """A moment with a fixed offset. Raises BadMoment."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise BadMoment(f'"{text}" is not a date and time')
    if match["hour"] is None:
        raise BadMoment(f'"{text}" has no time of day')
    if match["zone"] is None:
        raise BadMoment(f'"{text}" has no time zone')
    try:
        clock = time(int(match["hour"]), int(match["minute"]), int(match["second"] or 0))
        local = datetime.combine(date.fromisoformat(match["date"]), clock)
    except ValueError as error:
        raise BadMoment(f'"{text}": there is no such date or time') from error
    zone = match["zone"]
    if zone == "Z" or zone[0] in "+-":
        return _at_offset(local, zone, text)
    return _in_zone(local, zone_of(zone), text)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises BadMoment with a suggestion."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        nearest = did_you_mean(name, _zone_names())
        hint = nearest or 'write a name like "Europe/London" or "America/New_York"'
        raise BadMoment(f'there is no time zone "{name}"', hint) from error


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _at_offset(local: datetime, offset: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(local.isoformat() + offset)
    except ValueError as error:
        raise BadMoment(f'"{text}": there is no such offset from UTC') from error


def _in_zone(local: datetime, zone: ZoneInfo, text: str) -> datetime:
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    earlier, later = first.utcoffset(), second.utcoffset()
    if earlier is None or later is None:
        raise BadMoment(f'"{text}" has no offset from UTC')
    if earlier > later:
        raise BadMoment(
            f'"{text}" happens twice: the clocks go back that night',
            f"write the offset instead of the zone: {local.isoformat()}+01:00, for example",
        )
    if earlier < later:
        raise BadMoment(
            f'"{text}" does not happen: the clocks go forward over it', "choose another time"
        )
    return local.replace(tzinfo=timezone(earlier))
