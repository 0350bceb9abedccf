"""Whether a send may be launched now, and what should be known before a yes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.launching import (
    Counted,
    check_count,
    check_times,
    last_moment,
    read_count,
    read_due,
    warnings,
)
from services.console.orders import NotPossible
from services.console.screen import number
from shared.settings import SenderSettings
from tests.unit.console.programme import NOW, send

SENDER = SenderSettings(read_timeout_seconds=30, deadline_margin_seconds=10)


def counted(mailable: int = 100, unplaced: int = 0) -> Counted:
    return Counted(mailable, mailable, {}, unplaced)


def test_a_deadline_in_the_past_is_refused_with_what_to_change() -> None:
    late = send(deadline=NOW - timedelta(seconds=1))
    with pytest.raises(NotPossible, match=r"is past.*sends/ask.yaml"):
        check_times(late, NOW, NOW, SENDER)


def test_a_deadline_within_the_margin_of_the_last_call_is_too_near() -> None:
    near = send(deadline=NOW + timedelta(seconds=40))
    with pytest.raises(NotPossible, match="the last mail leaves 40 s before it"):
        check_times(near, NOW, NOW, SENDER)
    check_times(send(deadline=NOW + timedelta(seconds=41)), NOW, NOW, SENDER)


def test_a_send_is_not_scheduled_beyond_its_deadline_or_end() -> None:
    due = NOW + timedelta(hours=2)
    with pytest.raises(NotPossible, match="comes before it is due"):
        check_times(send(deadline=NOW + timedelta(hours=1)), due, NOW, SENDER)
    ended = send(mode="newly_qualifies", until=NOW - timedelta(hours=1))
    with pytest.raises(NotPossible, match="nobody could enter"):
        check_times(ended, NOW, NOW, SENDER)


def test_a_send_without_a_deadline_has_all_the_time() -> None:
    check_times(send(), NOW, NOW, SENDER)
    assert last_moment(send(), SENDER) is None


def test_who_would_expire_at_the_senders_rate_is_said_before_the_yes() -> None:
    soon = send(deadline=NOW + timedelta(seconds=100))
    [said] = warnings(soon, counted(4_100), NOW, NOW, SENDER, 50)
    assert "some 1,100 would expire" in said
    assert not warnings(soon, counted(3_000), NOW, NOW, SENDER, 50)
    assert not warnings(soon, counted(4_100), NOW, NOW, SENDER, None), "nobody knows the rate"


def test_people_without_a_place_and_a_date_far_away_are_said() -> None:
    assert (
        "12 have no known postcode"
        in warnings(send(), counted(unplaced=12), NOW, NOW, SENDER, 50)[0]
    )
    far = NOW + timedelta(days=400)
    assert "more than a year" in warnings(send(), counted(), far, NOW, SENDER, 50)[0]


@pytest.mark.parametrize(
    "text", ["2026-05-07 21:00", "2026-05-07 21:00 Europe/London", "2026-05-07T20:00Z"]
)
def test_a_time_without_a_zone_is_the_campaigns(text: str) -> None:
    assert read_due(text, "Europe/London", NOW) == datetime(2026, 5, 7, 20, 0, tzinfo=UTC)


def test_the_past_is_refused_in_the_campaigns_own_time() -> None:
    with pytest.raises(NotPossible, match=r"20:00:00 BST is past \(it is 2026-05-07 20:40:00 BST"):
        read_due("2026-05-07 20:00", "Europe/London", NOW)


@pytest.mark.parametrize(
    ("text", "zone", "said"),
    [
        ("tomorrow", "Europe/London", "not a date and time"),
        ("2026-05-07", "Europe/London", "no time of day"),
        ("2026-05-07 21:00", None, "no time zone"),
        ("2026-10-25 01:30", "Europe/London", "happens twice"),
        ("2026-05-07 21:00 Europe/Lundon", None, "no time zone"),
    ],
)
def test_a_time_that_is_none_says_what_to_write(text: str, zone: str | None, said: str) -> None:
    with pytest.raises(NotPossible, match=said):
        read_due(text, zone, NOW)


def test_a_count_given_beforehand_must_be_the_one_there_is() -> None:
    check_count(4_100, 4_100)
    with pytest.raises(NotPossible, match=r"says 4,100, and 4,099 would get it"):
        check_count(4_100, 4_099)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_count_is_understood_as_it_is_shown(count: int) -> None:
    assert read_count(number(count)) == count
    assert read_count(str(count)) == count


@pytest.mark.parametrize("text", ["", "yes", "4100 people", "-3", "4.1k"])
def test_anything_else_is_no_count(text: str) -> None:
    assert read_count(text) is None


def test_reasons_with_nobody_behind_them_are_left_out() -> None:
    left_out = {"bounced": 1, "no_consent": 0}
    answer = {"matching": 5, "mailable": 4, "left_out": left_out, "unplaced": 0}
    assert Counted.of(answer).left_out == {"bounced": 1}
