"""What is wrong with a programme, said so that its producer can mend it.

A problem names the file, the line, the field, what is wrong and what to do. Readers collect
problems and go on, so that one look shows them all. Nothing here decides what is a problem.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from shared.errors import Misconfigured


class Position(NamedTuple):
    """A place in a file; both count from 1. Column 0: only the line is known."""

    line: int
    column: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `line` and `column` count from 1; None where not known."""

    file: str
    line: int | None
    column: int | None
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}\n    {self.hint}" if self.hint else text


class ProgrammeErrors(Misconfigured):
    """A programme that cannot be used as it is; `problems` holds everything that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(slots=True)
class FileProblems:
    """Collects the problems of one file while it is read."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, position: Position | None, message: str, hint: str = "") -> None:
        """Note a problem at `position`, or about the file as a whole."""
        line = position.line if position else None
        column = (position.column or None) if position else None
        self.problems.append(Problem(self.file, line, column, message, hint))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By file and line, each once, whoever found it: a shared file serves several definitions."""
    unique: dict[tuple[object, ...], Problem] = {}
    for problem in problems:
        unique.setdefault((problem.file, problem.line, problem.column, problem.message), problem)
    return tuple(sorted(unique.values(), key=lambda p: (p.file, p.line or 0, p.column or 0)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question with the nearest known word, or nothing when none is near."""
    nearest = nearest_word(word, known)
    return f'did you mean "{nearest}"?' if nearest else ""


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, ignoring case, hyphens and underscores."""
    by_fold = {_folded(each): each for each in sorted(known, reverse=True)}
    matches = get_close_matches(_folded(word), by_fold, n=1, cutoff=0.65)
    return by_fold[matches[0]] if matches else None


def no_such(what: str, word: str, known: Iterable[str]) -> tuple[str, str]:
    """Message and hint for a word that is not among the known ones."""
    names = sorted(known)
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    hint = did_you_mean(word, names) or (f"known here: {listed}" if names else "there is none yet")
    return f'there is no {what} "{word}"', hint


def _folded(word: str) -> str:
    return word.casefold().replace("-", "_").replace(" ", "_")
