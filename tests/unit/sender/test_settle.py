"""What is done about a message in doubt, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.channel import Channel
from services.sender.settling import SILENT_WINDOWS, InDoubt, settle

WINDOW = 60_000
GIVEN_UP = 1_000_000
END = GIVEN_UP + WINDOW
DOUBT = InDoubt(
    message_id="m", send_id="s", partition=0, resend=True, attempt=1, attempted_ms=GIVEN_UP - 500,
    settle_after_ms=END, deadline_ms=None,
)  # fmt: skip
PROVEN: dict[str, Any] = {
    "now_ms": END + 1, "window_ms": WINDOW, "margin_ms": 10_000, "channel_ms": END,
    "events_read_ms": END, "steady": True,
}  # fmt: skip


def decided(doubt: InDoubt = DOUBT, **changes: Any) -> str:
    return settle(doubt, **(PROVEN | changes))[0]


def test_silence_on_a_proven_channel_is_resent_once_where_the_policy_says_so() -> None:
    assert decided() == "resend"
    assert decided(replace(DOUBT, attempt=2)) == "leave"
    assert decided(replace(DOUBT, resend=False)) == "leave"


def test_one_early_event_does_not_prove_a_channel_that_fell_silent_after_it() -> None:
    """The tracker may have gone away directly after it, with our event not yet posted."""
    assert decided(channel_ms=GIVEN_UP + 100) == "wait"
    assert decided(channel_ms=GIVEN_UP + WINDOW // 10 - 1) == "wait"
    assert decided(channel_ms=GIVEN_UP + WINDOW // 10) == "resend"


def test_a_silent_channel_is_waited_for_and_then_left_to_an_operator() -> None:
    late = END + SILENT_WINDOWS * WINDOW
    assert decided(channel_ms=0, now_ms=late - 1) == "wait"
    assert decided(channel_ms=0, now_ms=late) == "leave"


def test_a_channel_that_has_just_come_back_proves_nothing_yet() -> None:
    """What it missed is posted again one by one; ours may be among it."""
    assert decided(steady=False) == "wait"
    assert decided(steady=False, now_ms=END + SILENT_WINDOWS * WINDOW) == "leave"
    assert decided(replace(DOUBT, resend=False), steady=False) == "leave"


@pytest.mark.parametrize(
    ("heard", "steady"),
    [
        ([], True),
        ([(50_000, 50_000), (59_000, 59_000)], False),
        ([(15_000, 15_000), (30_000, 30_000), (45_000, 45_000), (59_000, 59_000)], True),
        ([(15_000, 15_000), (30_000, 50_000), (59_000, 59_000)], False),
    ],
    ids=["silent since long", "back from silence", "running", "brought something late"],
)
def test_a_channel_is_steady_when_it_has_run_for_a_while(
    heard: list[tuple[int, int]], steady: bool
) -> None:
    channel = Channel(WINDOW, 0)
    assert not channel.steady(WINDOW // 3 - 1)
    for at, now in heard:
        channel.heard(at, now)
    assert channel.steady(60_000) is steady


def test_nothing_is_decided_before_all_events_of_the_window_are_read() -> None:
    assert decided(events_read_ms=END - 1) == "wait"
    assert decided(replace(DOUBT, resend=False), events_read_ms=END - 1) == "wait"


def test_never_past_the_deadline() -> None:
    assert decided(replace(DOUBT, deadline_ms=END + 10_001)) == "leave"
    assert decided(replace(DOUBT, deadline_ms=END + 10_002)) == "resend"


def test_an_operator_decides_over_the_policy() -> None:
    assert decided(order="leave", now_ms=GIVEN_UP) == "leave"
    assert decided(replace(DOUBT, resend=False), order="resend") == "resend"
    assert decided(order="resend", channel_ms=0) == "wait"


@given(
    now=st.integers(GIVEN_UP, END + 10 * WINDOW),
    channel=st.integers(0, END + 10 * WINDOW),
    read=st.integers(0, END + 10 * WINDOW),
    attempt=st.integers(1, 3),
    wants=st.booleans(),
    order=st.sampled_from([None, "leave", "resend"]),
    deadline=st.none() | st.integers(GIVEN_UP, END + 10 * WINDOW),
)
def test_a_resend_always_has_every_reason(
    now: int, channel: int, read: int, attempt: int, wants: bool, order: Any, deadline: int | None
) -> None:
    doubt = replace(DOUBT, attempt=attempt, resend=wants, deadline_ms=deadline)
    if decided(doubt, now_ms=now, channel_ms=channel, events_read_ms=read, order=order) == "resend":
        assert order == "resend" or (wants and order is None)
        assert attempt == 1
        assert now >= END
        assert read >= END
        assert channel >= GIVEN_UP + WINDOW // 10
        assert deadline is None or now < deadline - 10_000


@pytest.mark.parametrize("seconds", [899, 929])
def test_a_settle_window_shorter_than_a_signature_is_refused(seconds: int) -> None:
    from shared.errors import Misconfigured
    from shared.settings import read_settings

    with pytest.raises(Misconfigured, match="at least 930"):
        read_settings({}, sender={"settle_seconds": seconds}).sender.check_settle_window()
    rehearsal = {"settle_seconds": 1, "ses_endpoint": "http://127.0.0.1:1"}
    read_settings({}, sender=rehearsal).sender.check_settle_window()
