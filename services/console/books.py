"""The books of a send as people read them: the account to the last person, and by variant. Pure.

`frozen` is always the sum of all states and what is open; what does not add up is said, not hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rich.text import Text

from services.console.screen import Cell, Column, bar, number, share

STATES: Final = (
    "accepted", "suppressed", "excluded", "capped", "expired", "cancelled", "failed", "unconfirmed",
)  # fmt: skip

STYLES: Final[Mapping[str, str]] = {
    "accepted": "green",
    "unconfirmed": "magenta",
    "in doubt": "magenta",
    "failed": "red",
    "expired": "red",
    "cancelled": "yellow",
    "suppressed": "yellow",
    "excluded": "yellow",
    "capped": "yellow",
    "on their way": "cyan",
    "not released": "bright_black",
}

WORDS: Final[Mapping[str, str]] = {
    "accepted": "SES took the message",
    "suppressed": "withdrew, complained or bounced since the audience was frozen",
    "excluded": "no longer belong, for example because they have acted",
    "capped": "held back by a cap, or the same inbox gets it already",
    "expired": "the deadline came first",
    "cancelled": "the send was cancelled",
    "failed": "refused for good by the renderer or by SES",
    "unconfirmed": "SES may or may not have taken it, and nothing more is expected",
    "in doubt": "SES may or may not have taken it; still waiting for its word",
    "on their way": "released, and not yet answered for",
    "not released": "in the audience, and held back until their turn",
}

MARKS: Final = ("delivered", "opened", "clicked", "acted", "bounced")
COUNTS: Final = ("frozen", "accepted", "not sent", "open")
FROM_WIDTH: Final = {"opened": 110, "bounced": 100, "not sent": 90, "open": 50, "delivered": 40}
"""Columns that a narrow terminal does without; wide numbers make it narrower."""
MOST_EDITIONS: Final = 20


@dataclass(frozen=True, slots=True)
class Part:
    """The account of one variant or edition."""

    name: str
    frozen: int
    states: Mapping[str, int]
    marks: Mapping[str, int]

    @property
    def accepted(self) -> int:
        return self.states.get("accepted", 0)

    @property
    def open(self) -> int:
        """Not final: open, or in doubt and not settled."""
        return self.states.get("open", 0) + self.states.get("in_doubt", 0)


@dataclass(frozen=True, slots=True)
class Books:
    """The account of a send. `states` are final; the other three add up to what is open."""

    frozen: int
    states: Mapping[str, int]
    not_released: int
    on_their_way: int
    in_doubt: int
    variants: tuple[Part, ...] = ()
    editions: tuple[Part, ...] = ()
    marks: Mapping[str, int] = field(default_factory=dict)

    @property
    def final(self) -> int:
        return sum(self.states.values())

    @property
    def lines(self) -> list[tuple[str, int]]:
        """Every word with people behind it, finals first, in the order of the equation."""
        known = [(state, self.states.get(state, 0)) for state in STATES]
        strange = [(state, n) for state, n in self.states.items() if state not in STATES]
        still = [
            ("in doubt", self.in_doubt),
            ("on their way", self.on_their_way),
            ("not released", self.not_released),
        ]
        return [(word, count) for word, count in (*known, *strange, *still) if count]

    @property
    def balanced(self) -> bool:
        """Whether everybody is accounted for."""
        return self.frozen == sum(count for _, count in self.lines)


def read_books(answer: Mapping[str, Any]) -> Books:
    """The segmenter's answer to `/ask/books`."""
    variants = _parts(answer.get("by_variant", {}))
    open_, unreleased = int(answer["open"]), int(answer["unreleased"])
    return Books(
        frozen=int(answer["frozen"]),
        states={str(state): int(count) for state, count in answer["states"].items()},
        not_released=unreleased,
        on_their_way=open_ - unreleased,
        in_doubt=int(answer["in_doubt"]),
        variants=variants,
        editions=_parts(answer.get("by_edition", {})),
        marks={mark: sum(part.marks.get(mark, 0) for part in variants) for mark in MARKS},
    )


def equation(books: Books) -> str:
    """The account in one line: `4,100 = 4,021 accepted + 12 suppressed + ...`."""
    parts = [f"{number(count)} {word}" for word, count in books.lines]
    said = f"{number(books.frozen)} = {' + '.join(parts) or '0'}"
    if books.balanced:
        return said
    missing = books.frozen - sum(count for _, count in books.lines)
    return f"{said} + {number(missing)} UNACCOUNTED FOR"


def books_bar(books: Books, width: int) -> Text:
    """The whole audience as one bar."""
    return bar([(count, STYLES.get(word, "white")) for word, count in books.lines], width)


def state_rows(books: Books) -> tuple[list[Column], list[list[Cell]]]:
    """A row for each state that somebody is in."""
    columns = [Column(""), Column("people", number=True), Column("", number=True), Column("")]
    rows: list[list[Cell]] = [
        [
            Text(word, STYLES.get(word, "")),
            count,
            share(count, books.frozen),
            Text(WORDS.get(word, ""), "dim"),
        ]
        for word, count in books.lines
    ]
    return columns, rows


def part_rows(
    title: str, parts: tuple[Part, ...], names: Mapping[str, str], most: int | None = None
) -> tuple[list[Column], list[list[Cell]]]:
    """A row for each variant or edition: largest first; opens, clicks, actions of the accepted."""
    columns = [
        Column(title),
        *(Column(each, True, False, FROM_WIDTH.get(each, 0)) for each in (*COUNTS, *MARKS)),
    ]
    ranked = sorted(parts, key=lambda part: (-part.frozen, part.name))
    rows: list[list[Cell]] = []
    for part in ranked[:most]:
        not_sent = part.frozen - part.accepted - part.open
        rows.append(
            [
                _name(names.get(part.name, part.name)),
                part.frozen, part.accepted, not_sent, part.open,
                *(_mark(part.marks.get(mark, 0), part.accepted) for mark in MARKS),
            ]
        )  # fmt: skip
    return columns, rows


def _name(name: str) -> Text:
    if not name:
        return Text("(everybody else)", "dim")
    return Text(name, no_wrap=True, overflow="ellipsis")


def _mark(count: int, accepted: int) -> Text:
    return Text.assemble(number(count), (f" {share(count, accepted):>5}", "dim"))


def _parts(answer: Mapping[str, Any]) -> tuple[Part, ...]:
    return tuple(
        Part(
            name,
            int(entry["frozen"]),
            {str(state): int(count) for state, count in entry["states"].items()},
            {mark: int(entry.get(mark, 0)) for mark in MARKS},
        )
        for name, entry in answer.items()
    )
