"""Reads a programme from its folder: the one place in this room that touches files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from shared.programme.parsing import parse_programme
from shared.programme.problems import Problem, ProgrammeErrors
from shared.programme.programme import Programme

__all__ = ["Problem", "Programme", "ProgrammeErrors", "read_programme"]

_READ: Final = (".yaml", ".csv", ".j2")
_LARGEST: Final = 50_000_000
"""Bytes of a file beyond which it is no part of a programme."""


def read_programme(path: Path | str) -> Programme:
    """The programme in the folder `path`. Raises ProgrammeErrors with every problem found."""
    folder = Path(path)
    if not folder.is_dir():
        message = "this is not a folder" if folder.exists() else "there is no such folder"
        hint = "give the folder that holds campaign.yaml"
        raise ProgrammeErrors([Problem(str(path), None, None, message, hint)])
    return parse_programme(_files(folder), root=str(path).rstrip("/"))


def _files(folder: Path) -> dict[str, bytes]:
    """Every file by its path within the folder; only those of a programme with their content."""
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            file = Path(directory, name)
            try:
                found[file.relative_to(folder).as_posix()] = _content(file)
            except OSError as error:
                message = f"the file cannot be read: {error.strerror or error}"
                problems.append(Problem(str(file), None, None, message))
    if problems:
        raise ProgrammeErrors(problems)
    return found


def _content(file: Path) -> bytes:
    if not file.name.endswith(_READ) or file.name.startswith("."):
        return b""
    if file.stat().st_size > _LARGEST:
        raise OSError(f"more than {_LARGEST // 1_000_000} MB")
    return file.read_bytes()
