"""What SpamAssassin thinks of a mail, where it is installed on this machine.

Only its tests that ask nobody else are run: where a mail comes from and whose it is are not known
before SES has sent it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import Final

PROGRAM: Final = "spamassassin"
PATIENCE_SECONDS: Final = 120.0

_STATUS: Final = re.compile(
    r"score=(-?[\d.]+)\s+required=([\d.]+)\s+tests=(\S*?(?:,\s+\S+?)*)(?:\s+\w+=|$)"
)
_MESSAGE_ID: Final = (
    "Message-ID: <010b0193a2c4d5e6-7f8091a2-b3c4-d5e6-f708-192a3b4c5d6e-000000"
    "@eu-west-2.amazonses.com>"
)
_UNFAIR: Final = frozenset({"NO_RELAYS", "NO_RECEIVED", "ALL_TRUSTED", "none"})
"""Tests of how a mail travelled, of one that has not."""


@dataclass(frozen=True, slots=True)
class SpamScore:
    """`tests`: names of those that spoke."""

    score: float
    required: float
    tests: tuple[str, ...]

    @property
    def spam(self) -> bool:
        return self.score >= self.required


def find_spamassassin(path: str | None = None) -> str | None:
    """The program, None where there is none. `path`: where to look, as PATH."""
    return shutil.which(PROGRAM, path=path)


def spam_score(mail: str, program: str) -> SpamScore | None:
    """The score of a whole message; None when SpamAssassin did not give one."""
    try:
        done = subprocess.run(
            [program, "--local", "--nocreate-prefs"],
            input=_as_sent(mail), capture_output=True, text=True,
            timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_status(HeaderParser().parsestr(done.stdout).get("X-Spam-Status", ""))


def read_status(header: str) -> SpamScore | None:
    """From the header that SpamAssassin adds."""
    found = _STATUS.search(" ".join(header.split()))
    if found is None:
        return None
    tests = [each for each in re.split(r",\s*", found[3]) if each and each not in _UNFAIR]
    return SpamScore(float(found[1]), float(found[2]), tuple(tests))


def _as_sent(mail: str) -> str:
    """With the header that SES adds, for want of which every mail would look like spam."""
    return f"{_MESSAGE_ID}\n{mail.replace(chr(13), '')}"
