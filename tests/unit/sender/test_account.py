"""What the SES account allows: the rate, the quota, and when to ask again."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sender.account import (
    SHARE,
    SOONEST_SECONDS,
    Account,
    Limits,
    ask_again_seconds,
    ceiling,
    quota_left,
    remarks,
    stop,
)

SOUND = Account(True, True, "HEALTHY", 50_000.0, 1_000.0, 14.0)
LIMITS = Limits(rate=None, reserve=0, ask_seconds=60.0)

accounts = st.builds(
    Account,
    sending_enabled=st.booleans(),
    production_access=st.booleans(),
    enforcement=st.sampled_from(["HEALTHY", "PROBATION", "SHUTDOWN"]),
    daily_quota=st.one_of(st.just(-1.0), st.floats(0, 1e7)),
    sent_last_day=st.floats(0, 1e7),
    rate=st.floats(0, 1_000),
)
limits = st.builds(
    Limits,
    rate=st.one_of(st.none(), st.floats(0.1, 1_000)),
    reserve=st.integers(0, 1_000),
    ask_seconds=st.floats(1, 600),
)


@pytest.mark.parametrize(
    ("wanted", "account", "rate"),
    [
        (None, SOUND, 14 * SHARE),
        (5.0, SOUND, 5.0),
        (50.0, SOUND, 14 * SHARE),
        (50.0, None, 50.0),
        (None, None, 1.0),
    ],
)
def test_the_rate_is_the_smaller_of_what_is_wanted_and_nine_tenths_of_what_ses_allows(
    wanted: float | None, account: Account | None, rate: float
) -> None:
    assert ceiling(account, replace(LIMITS, rate=wanted)) == rate


@pytest.mark.parametrize(
    ("account", "why"),
    [
        (SOUND, None),
        (None, None),
        (replace(SOUND, sending_enabled=False), "disabled"),
        (replace(SOUND, sending_enabled=False, enforcement="SHUTDOWN"), "shut_down"),
        (replace(SOUND, enforcement="PROBATION"), None),
        (replace(SOUND, production_access=False), None),
        (replace(SOUND, sent_last_day=49_999.0), None),
        (replace(SOUND, sent_last_day=50_000.0), "quota"),
        (replace(SOUND, sent_last_day=60_000.0), "quota"),
        (replace(SOUND, daily_quota=-1.0, sent_last_day=1e9), None),
    ],
)
def test_what_forbids_all_mail(account: Account | None, why: str | None) -> None:
    assert stop(account, LIMITS) == why


def test_a_reserve_is_left_for_the_accounts_other_mail() -> None:
    kept = replace(LIMITS, reserve=2_000)
    assert quota_left(SOUND, kept) == 47_000
    assert stop(replace(SOUND, sent_last_day=48_000.0), kept) == "quota"
    assert quota_left(replace(SOUND, daily_quota=-1.0), kept) == inf


def test_what_is_not_wrong_yet_is_said() -> None:
    assert remarks(SOUND) == []
    assert "under review" in remarks(replace(SOUND, enforcement="PROBATION"))[0]
    assert "only verified" in remarks(replace(SOUND, production_access=False))[0]


@settings(deadline=None)
@given(accounts, limits)
def test_ses_is_asked_at_most_once_a_second_and_before_the_quota_can_end(
    account: Account, limits: Limits
) -> None:
    wait = ask_again_seconds(account, limits)
    assert SOONEST_SECONDS <= wait <= limits.ask_seconds
    if stop(account, limits) is None and wait > SOONEST_SECONDS:
        assert wait * ceiling(account, limits) <= quota_left(account, limits)


@settings(deadline=None)
@given(accounts)
def test_what_is_kept_in_the_ledger_is_what_was_said(account: Account) -> None:
    assert Account.from_json(account.as_json()) == account
