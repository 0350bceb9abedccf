"""Waiting until the segmenter has read an import: asked of the people who were written last.

A partition is read in order, so whoever was written to it last stands for all before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from services.console.asking import Services
from services.console.identities import ask_known
from services.console.statements import effect
from services.console.supporter_import import Written
from shared.errors import RetryLater

PATIENCE_SECONDS: Final = 600.0
CHANGES_SECONDS: Final = 10.0
"""How long to wait for changes alone: a newer word may stand against one, and then none shows."""
POLL_SECONDS: Final = 0.2


def wait_until_read(
    services: Services, written: Sequence[Written], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Return when the newest statements show. Raises RetryLater when they do not."""
    began = time.monotonic()
    all_known_at: float | None = None
    while True:
        unknown, unchanged = _behind(services, written)
        now = time.monotonic()
        if not unknown:
            all_known_at = all_known_at or now
            if not unchanged or now - all_known_at > CHANGES_SECONDS:
                return
        elif now - began > PATIENCE_SECONDS:
            raise RetryLater(
                "everything was written, and the segmenter has not read it within "
                f"{PATIENCE_SECONDS:.0f} s: see how it is with `doorstep status`"
            )
        sleep(POLL_SECONDS)


def _behind(services: Services, written: Sequence[Written]) -> tuple[int, int]:
    """How many are not known at all, and how many do not show what was stated of them."""
    known = ask_known(services, [each.person for each in written])
    unknown = sum(each is None for each in known)
    unchanged = sum(
        found is not None and effect(each.change, found) == "changed"
        for each, found in zip(written, known, strict=True)
    )
    return unknown, unchanged
