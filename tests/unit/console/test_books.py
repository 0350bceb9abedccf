"""The books of a send as people read them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from services.console.books import (
    STATES,
    books_bar,
    equation,
    part_rows,
    read_books,
    state_rows,
)
from services.console.screen import bar, duration, share, table


def answer(**more: Any) -> dict[str, Any]:
    entry = {"frozen": 6, "states": {"accepted": 4, "open": 2}, "delivered": 3, "clicked": 1}
    return {
        "decision": None, "frozen": 10, "open": 4, "in_doubt": 1, "unreleased": 3,
        "states": {"accepted": 4, "capped": 1},
        "by_variant": {"a": entry, "b": {"frozen": 4, "states": {}}}, "by_edition": {"": entry},
    } | more  # fmt: skip


def test_everybody_stands_in_the_equation_once() -> None:
    said = equation(read_books(answer()))
    assert said == "10 = 4 accepted + 1 capped + 1 in doubt + 1 on their way + 3 not released"


def test_whoever_is_missing_is_said_not_hidden() -> None:
    books = read_books(answer(frozen=12))
    assert not books.balanced
    assert equation(books).endswith("+ 2 UNACCOUNTED FOR")


@given(
    st.dictionaries(st.sampled_from(STATES), st.integers(0, 10**6)),
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6),
)  # fmt: skip
def test_books_that_add_up_are_balanced_and_fill_the_bar(
    states: dict[str, int], released: int, unreleased: int, in_doubt: int
) -> None:
    frozen = sum(states.values()) + released + unreleased + in_doubt
    books = read_books(
        answer(
            frozen=frozen, states=states, open=released + unreleased,
            unreleased=unreleased, in_doubt=in_doubt,
        )
    )  # fmt: skip
    assert books.balanced
    assert "UNACCOUNTED" not in equation(books)
    assert len(books_bar(books, 40).plain) == 40


def test_a_state_this_release_does_not_know_is_shown_all_the_same() -> None:
    books = read_books(answer(states={"accepted": 4, "teleported": 1}))
    assert "1 teleported" in equation(books)
    assert [str(row[0]) for row in state_rows(books)[1]][1] == "teleported"


def test_a_variant_counts_what_was_not_sent_apart_from_what_is_open() -> None:
    columns, rows = part_rows("variant", read_books(answer()).variants, {"a": "A direct ask"})
    shown = dict(zip([column.title for column in columns], rows[0], strict=True))
    assert str(shown["variant"]) == "A direct ask"
    assert (shown["frozen"], shown["accepted"], shown["not sent"], shown["open"]) == (6, 4, 0, 2)
    assert str(shown["delivered"]).split() == ["3", "75%"]


@given(st.sampled_from((80, 100, 120)), st.sampled_from((9, 21_345, 1_234_567)))
def test_no_number_is_cut_off_however_narrow_the_terminal(width: int, people: int) -> None:
    entry = {"frozen": people, "states": {"accepted": people}, "clicked": people}
    books = read_books(answer(by_edition={"FK10 3": entry}))
    names = {"FK10 3": "FK10 3 Sauchie and Coalsnaughton"}
    screen = Console(width=width)
    with screen.capture() as shown:
        screen.print(table(*part_rows("edition", books.editions, names), width))
    line = shown.get().splitlines()[2]
    assert line.startswith("FK10 3 Sauchie")
    assert line.split().count(f"{people:,}") == 3, line
    assert "100%" in line


def test_the_edition_for_everybody_else_has_a_name() -> None:
    _, rows = part_rows("edition", read_books(answer()).editions, {})
    assert str(rows[0][0]) == "(everybody else)"


def test_a_part_of_a_bar_that_is_there_is_seen() -> None:
    assert str(bar([(1_000_000, "green"), (1, "red"), (0, "blue")], 20)).count("█") == 20
    spans = bar([(1_000_000, "green"), (1, "red")], 20).spans
    assert [(span.end - span.start, span.style) for span in spans] == [(19, "green"), (1, "red")]
    assert str(bar([], 5)) == "░░░░░"


def test_shares_and_lengths_of_time_pretend_to_no_more_than_is_there() -> None:
    assert [share(1, 3), share(1, 300), share(0, 5), share(1, 0)] == ["33%", "0.3%", "0%", "-"]
    assert [duration(s) for s in (0, 59, 61, 3_600, 90_061, 172_830)] == [
        "0 s", "59 s", "1 min 1 s", "1 h", "1 d 1 h", "2 d",
    ]  # fmt: skip
