"""What one rendering may take: computing time, and room for what it makes.

Loops, macros, blocks and includes are counted where they begin, by code that is compiled into the
template (`compiling.py`), and every few of them the clock is looked at. The clock is the thread's
CPU time: a busy or paused machine refuses nobody. Not seen is what a single expression does by
itself, like a filter over a long list; sums, products and powers without end are stopped by the
language (`shared/programme/template_language.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

MOST_BYTES: Final = 10 * 1024 * 1024
"""Of a mail, and of each part of it. SES slows down for larger ones; it takes 40 MB."""
MOST_SECONDS: Final = 0.5
"""Of CPU for all parts of one mail: some thousand times what a mail needs."""
TURNS_BETWEEN_LOOKS: Final = 64
_PIECES_AT_ONCE: Final = 64
"""Few, because one may be as large as a value is."""


class TookTooLong(Exception):
    """A template that computed longer than it may."""


class Meter:
    """Counts the turns of one rendering at a time. `clock`: CPU seconds, from any start."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._turns = 0
        self._ends = 0.0

    def start(self) -> None:
        """A rendering begins. The clock runs from its first look: most never come to one."""
        self._turns = 0

    def turn(self) -> None:
        """A loop, macro, block or source begins a turn. Raises TookTooLong."""
        self._turns += 1
        if self._turns % TURNS_BETWEEN_LOOKS == 0:
            now = self._clock()
            if self._turns == TURNS_BETWEEN_LOOKS:
                self._ends = now + MOST_SECONDS
            elif now > self._ends:
                raise TookTooLong(f"it computes for more than {MOST_SECONDS} seconds")


def bounded(text: str) -> str:
    """The text. Raises OverflowError when it is longer than a mail may be."""
    if len(text) > MOST_BYTES:
        raise OverflowError(f"it makes more than {MOST_BYTES} bytes")
    return text


def joined(pieces: Iterable[str]) -> str:
    """What a buffer of a template holds. Raises OverflowError."""
    return bounded("".join(pieces))


def pieces_of(stream: Iterable[str]) -> list[str]:
    """All that a template makes. Raises OverflowError, and then it is not made to the end."""
    stream = iter(stream)
    made: list[str] = []
    size = 0
    while pieces := list(islice(stream, _PIECES_AT_ONCE)):
        size += sum(map(len, pieces))
        if size > MOST_BYTES:
            raise OverflowError(f"it makes more than {MOST_BYTES} bytes")
        made += pieces
    return made
