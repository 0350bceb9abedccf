"""Where forwarding goes on, and when the spool and the log do not belong together."""

from __future__ import annotations

import pytest

from services.tracker.forwarding import read_cursor
from shared.errors import WrongStore


def test_without_a_cursor_everything_in_the_spool_is_still_to_be_forwarded() -> None:
    assert read_cursor("", "mine", 3, 9) == 3


@pytest.mark.parametrize("next_offset", [3, 7, 9])
def test_a_cursor_says_what_is_next(next_offset: int) -> None:
    assert read_cursor(f"mine:{next_offset}", "mine", 3, 9) == next_offset


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        ("theirs:7", "another spool"),
        ("garbage", "another spool"),
        ("mine:x", "another spool"),
        ("mine:10", "older copy"),
        ("mine:2", "log is an older copy"),
    ],
)
def test_what_does_not_belong_together_is_refused_with_a_way_out(cursor: str, words: str) -> None:
    with pytest.raises(WrongStore, match=words) as caught:
        read_cursor(cursor, "mine", 3, 9)
    assert "--adopt-spool" in str(caught.value)
