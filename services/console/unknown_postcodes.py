"""Which postcodes of a file the directory does not know, found before a row of it is written.

Only the segmenter's own code reads the directory, and services never import each other: it answers
from a process of its own, one line of JSON for each that it is asked. An import does not hang on
it: where nothing can be looked up, `trouble` says why, and nothing is said of any postcode.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self, get_args

from services.console.home import handed_down, postcodes_folder
from shared.settings import Settings

Spelt = Literal["known", "unknown", "malformed"]
"""`known`: in the directory; `unknown`: well-formed, not there; `malformed`: not a postcode."""

STOP_SECONDS: Final = 5.0

_PROGRAM: Final = """
import json, sys
from pathlib import Path
from services.segmenter.people.places.directory import Directory
from services.segmenter.people.places.postcode import MalformedPostcode, parse

def judged(directory, text):
    try:
        return "unknown" if directory.lookup(parse(text)) is None else "known"
    except MalformedPostcode:
        return "malformed"

directory = None
for line in sys.stdin:
    try:
        directory = directory or Directory.open(Path(sys.argv[1]))
        answer = [judged(directory, text) for text in json.loads(line)]
    except Exception as error:
        answer = str(error) or type(error).__name__
    print(json.dumps(answer), flush=True)
"""


class PostcodeQuestions:
    """The process that is asked; started by the first question."""

    def __init__(self, settings: Settings) -> None:
        self._command = [
            sys.executable, "-P", "-c", _PROGRAM, str(postcodes_folder(settings)),
        ]  # fmt: skip
        self._environment = handed_down(settings, os.environ)
        self._process: subprocess.Popen[str] | None = None
        self.trouble: str | None = None

    def judge(self, postcodes: Sequence[str]) -> list[Spelt] | None:
        """A word for each, in the same order; None once there was trouble."""
        if self.trouble is not None:
            return None
        if not postcodes:
            return []
        try:
            answer = json.loads(self._ask(json.dumps(list(postcodes))))
        except (OSError, ValueError) as error:
            answer = f"what looks them up broke off ({error})"
        if not _is_answer(answer, len(postcodes)):
            self.trouble = str(answer)
            return None
        words: list[Spelt] = answer
        return words

    def _ask(self, question: str) -> str:
        if self._process is None:
            # In a session of its own, so that Ctrl-C reaches the import alone, which ends it.
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise OSError("no pipe")
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise OSError("it ended")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def _is_answer(answer: Any, wanted: int) -> bool:
    return (
        isinstance(answer, list)
        and len(answer) == wanted
        and all(each in get_args(Spelt) for each in answer)
    )
