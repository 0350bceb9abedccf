"""A moment is the same on every machine, or it is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.programme.moments import BadMoment, parse_moment


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2027-05-06T21:30+01:00", datetime(2027, 5, 6, 20, 30, tzinfo=UTC)),
        ("2027-05-06 21:30 +0100", datetime(2027, 5, 6, 20, 30, tzinfo=UTC)),
        ("2027-05-06 21:30 Europe/London", datetime(2027, 5, 6, 20, 30, tzinfo=UTC)),
        ("2027-01-06 9:05 Europe/London", datetime(2027, 1, 6, 9, 5, tzinfo=UTC)),
        ("2026-11-03 20:00:15 America/New_York", datetime(2026, 11, 4, 1, 0, 15, tzinfo=UTC)),
        ("2027-05-06T21:30Z", datetime(2027, 5, 6, 21, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_has_a_zone_or_an_offset(text: str, utc: datetime) -> None:
    moment = parse_moment(text)
    assert moment == utc
    assert moment.utcoffset() is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2027-05-06 21:30", "no time zone"),
        ("2027-05-06", "no time of day"),
        ("tomorrow", "not a date and time"),
        ("2027-02-30 10:00 Z", "no such date or time"),
        ("2027-05-06 25:00 Z", "no such date or time"),
        ("2027-05-06 21:30 +99:00", "no such offset"),
        ("2027-05-06 21:30 Europe/Londn", 'no time zone "Europe/Londn"'),
        ("2027-05-06 21:30 Europe", "no time zone"),
        ("2027-10-31 01:30 Europe/London", "happens twice"),
        ("2027-03-28 01:30 Europe/London", "does not happen"),
    ],
)
def test_what_could_be_two_moments_or_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadMoment, match=message):
        parse_moment(text)


def test_a_misspelled_zone_is_suggested() -> None:
    with pytest.raises(BadMoment) as caught:
        parse_moment("2027-05-06 21:30 Europe/Londn")
    assert caught.value.hint == 'did you mean "Europe/London"?'


@given(st.integers(0, 2**32))
def test_every_moment_is_read_back(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert parse_moment(moment.isoformat()) == moment
