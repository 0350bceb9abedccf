"""A Dockerfile, read far enough to be looked at: stages and their instructions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    name: str
    source: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """What every instruction of a kind says."""
        return [said for found, said in self.instructions if found == word]

    def last(self, word: str) -> str | None:
        return next(iter(reversed(self.all(word))), None)


def read(path: Path) -> dict[str, Stage]:
    """The stages by name; ENV in a stage is not carried on to those made from it."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text(encoding="utf-8"))
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        word, _, said = line.strip().partition(" ")
        if word == "FROM":
            source, _, name = said.partition(" AS ")
            current = stages[name] = Stage(name, source)
        elif word and current is not None:
            current.instructions.append((word, said.strip()))
    return stages


def exec_form(said: str) -> list[str]:
    """The words of `["a", "b"]`. Fails for the shell form, in which signals get lost."""
    words = json.loads(said)
    assert isinstance(words, list)
    return [str(word) for word in words]
