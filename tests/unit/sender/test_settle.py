"""What is done about a message in doubt, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.settling import SILENT_WINDOWS, InDoubt, Neighbours, Times, settle

WINDOW = 60_000
GIVEN_UP = 1_000_000
END = GIVEN_UP + WINDOW
DOUBT = InDoubt(
    message_id="m", send_id="s", partition=0, resend=True, attempt=1, attempted_ms=GIVEN_UP - 500,
    settle_after_ms=END, deadline_ms=None,
)  # fmt: skip
HEARD = Neighbours(witnessed=True, silent=False)
PROVEN: dict[str, Any] = {
    "neighbours": HEARD, "now_ms": END + 1, "window_ms": WINDOW, "margin_ms": 10_000,
    "events_read_ms": END,
}  # fmt: skip
LONG_AFTER = END + SILENT_WINDOWS * WINDOW


def decided(doubt: InDoubt = DOUBT, **changes: Any) -> str:
    return settle(doubt, **(PROVEN | changes))[0]


def test_silence_beside_mails_that_were_told_of_is_resent_once_where_the_policy_says_so() -> None:
    assert decided() == "resend"
    assert decided(replace(DOUBT, attempt=2)) == "leave"
    assert decided(replace(DOUBT, resend=False)) == "leave"


def test_silence_without_a_witness_proves_nothing() -> None:
    """SNS drops what it could not post within a minute: the tracker may have been away then."""
    alone = Neighbours(witnessed=False, silent=False)
    assert decided(neighbours=alone) == "leave"
    assert decided(neighbours=alone, order="resend") == "resend"


def test_while_others_of_that_time_are_silent_it_is_waited_and_then_left() -> None:
    """After an outage what was missed is posted one by one; ours may be among it, or dropped."""
    silent = Neighbours(witnessed=True, silent=True)
    for order in (None, "resend"):
        assert decided(neighbours=silent, now_ms=LONG_AFTER - 1, order=order) == "wait"
    assert decided(neighbours=silent, now_ms=LONG_AFTER) == "leave"
    assert decided(neighbours=silent, now_ms=LONG_AFTER, order="resend") == "resend"
    assert decided(replace(DOUBT, resend=False), neighbours=silent) == "leave"


def test_what_is_near_is_a_minute_where_windows_are_long_and_less_in_rehearsals() -> None:
    assert Times.of(1_200_000) == Times(near=60_000, posting=55_000)
    assert Times.of(6_000) == Times(near=2_000, posting=4_000)


def test_nothing_is_decided_before_all_events_of_the_window_are_read() -> None:
    assert decided(events_read_ms=END - 1) == "wait"
    assert decided(replace(DOUBT, resend=False), events_read_ms=END - 1) == "wait"


def test_never_past_the_deadline() -> None:
    assert decided(replace(DOUBT, deadline_ms=END + 10_001)) == "leave"
    assert decided(replace(DOUBT, deadline_ms=END + 10_002)) == "resend"


def test_an_operator_decides_over_the_policy() -> None:
    assert decided(order="leave", now_ms=GIVEN_UP) == "leave"
    assert decided(replace(DOUBT, resend=False), order="resend") == "resend"


@given(
    now=st.integers(GIVEN_UP, END + 10 * WINDOW),
    neighbours=st.builds(Neighbours, witnessed=st.booleans(), silent=st.booleans()),
    read=st.integers(0, END + 10 * WINDOW),
    attempt=st.integers(1, 3),
    wants=st.booleans(),
    order=st.sampled_from([None, "leave", "resend"]),
    deadline=st.none() | st.integers(GIVEN_UP, END + 10 * WINDOW),
)
def test_a_resend_always_has_every_reason(
    now: int, neighbours: Neighbours, read: int, attempt: int, wants: bool, order: Any,
    deadline: int | None,
) -> None:  # fmt: skip
    doubt = replace(DOUBT, attempt=attempt, resend=wants, deadline_ms=deadline)
    decision = decided(doubt, neighbours=neighbours, now_ms=now, events_read_ms=read, order=order)
    if decision == "resend":
        assert order == "resend" or (wants and order is None and neighbours == HEARD)
        assert attempt == 1
        assert now >= END
        assert read >= END
        assert deadline is None or now < deadline - 10_000


@pytest.mark.parametrize("seconds", [899, 929])
def test_a_settle_window_shorter_than_a_signature_is_refused(seconds: int) -> None:
    from shared.errors import Misconfigured
    from shared.settings import read_settings

    with pytest.raises(Misconfigured, match="at least 930"):
        read_settings({}, sender={"settle_seconds": seconds}).sender.check_settle_window()
    rehearsal = {"settle_seconds": 1, "ses_endpoint": "http://127.0.0.1:1"}
    read_settings({}, sender=rehearsal).sender.check_settle_window()
