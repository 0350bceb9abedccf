"""How far an outbox was published, by what of it is on the log."""

from __future__ import annotations

import pytest

from shared.errors import WrongStore
from shared.loop.adopting import Row, published_through

THERE, NOT_THERE, GONE = (True, True), (False, True), (False, False)
"""On the log; not there and never was; not there, and perhaps removed."""


def rows(first: int, *found: tuple[bool, bool]) -> list[Row]:
    return [Row(first + n, *each) for n, each in enumerate(found)]


@pytest.mark.parametrize(
    ("found", "through"),
    [
        ([], 7),  # trimmed only after it was published
        (rows(5, THERE, THERE, THERE), 7),
        (rows(5, THERE, NOT_THERE, NOT_THERE), 5),
        (rows(5, NOT_THERE, NOT_THERE, NOT_THERE), 4),
        (rows(1, NOT_THERE), 0),
        # what comes before one that is there was published, wherever it is now
        (rows(5, GONE, GONE, THERE), 7),
        # what comes after one that never was there was not
        (rows(5, THERE, NOT_THERE, GONE), 5),
    ],
)
def test_it_is_known(found: list[Row], through: int) -> None:
    assert published_through(7, found) == through


@pytest.mark.parametrize("found", [rows(5, THERE, GONE, NOT_THERE), rows(5, GONE, GONE, GONE)])
def test_it_is_refused_where_it_cannot_be_known(found: list[Row]) -> None:
    with pytest.raises(WrongStore, match="cannot be known any more"):
        published_through(7, found)
