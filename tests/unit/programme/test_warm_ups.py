"""Warm-ups of sending domains: read from campaign.yaml, checked, and what a day lets go."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from shared.programme.definitions import Campaign, WarmUp
from shared.programme.warm_ups import WarmUps, domain_of
from tests.unit.programme.small_programme import CAMPAIGN, parse, said, warnings

WARM_UP = """\
warm_up:
  small.example.org:
    begins: 2026-05-01
    days: [50, 100, 200]
"""


def campaign(warm_up: str) -> dict[str, str | bytes | None]:
    return {"campaign.yaml": CAMPAIGN + warm_up}


def test_a_warm_up_is_a_curve_from_a_date() -> None:
    [made] = [d for d in parse(campaign(WARM_UP)).definitions if isinstance(d, Campaign)]
    found = made.warm_up["small.example.org"]
    assert found == WarmUp(begins=date(2026, 5, 1), days=(50, 100, 200))
    assert [found.most_on(date(2026, 5, day)) for day in (1, 2, 3, 4)] == [50, 100, 200, None]
    assert found.most_on(date(2026, 4, 30)) == 0, "nothing goes before it begins"


def test_days_are_the_campaigns() -> None:
    body = {
        "warm_up": {"small.example.org": {"begins": "2026-05-02", "days": [50]}},
        "timezone": "Europe/London",
    }
    warm_ups = WarmUps.of_campaign(body)
    late = datetime(2026, 5, 1, 23, 30, tzinfo=UTC)
    assert warm_ups.day(late) == date(2026, 5, 2)
    assert warm_ups.limits(warm_ups.day(late)) == {"small.example.org": 50}
    assert WarmUps.of_campaign({}) == WarmUps()
    with pytest.raises(ValueError, match="begins"):
        WarmUps.of_campaign({"warm_up": {"small.example.org": {"days": [1]}}})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (WARM_UP.replace("2026-05-01", "tomorrow"), "`begins` should be a date"),
        (WARM_UP.replace("[50, 100, 200]", "[]"), "`days`: must not be empty"),
        (WARM_UP.replace("100", "0"), "`days`: on day 2 0 mails could go"),
        (WARM_UP.replace("100", "many"), "`days` should be a whole number"),
        (WARM_UP.replace("small.example", "Small Example"), "is no domain"),
        (WARM_UP.replace("days", "curve"), "`curve`: there is no such field"),
    ],
)
def test_what_cannot_be_meant_is_said(wrong: str, sentence: str) -> None:
    assert sentence in said(campaign(wrong))


def test_a_domain_that_sends_nothing_is_doubtful() -> None:
    [warning] = warnings(campaign(WARM_UP.replace("small.", "large.")))
    assert "large.example.org is not the domain of `from_address`" in warning


@pytest.mark.parametrize("sender", ["a@X.example", "Ann <a@x.example>", '"A @ B" <a@x.example>'])
def test_the_domain_of_a_sender(sender: str) -> None:
    assert domain_of(sender) == "x.example"
