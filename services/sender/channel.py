"""Whether the channel of SES's events runs steadily, by when they come. Pure state.

After an outage the events of it are posted again one by one, with pauses, and newer ones come
before them. So one event proves little just then: a message whose own event still waits would be
sent twice. The channel is steady when it has run for a while since it began, since it last came
back from silence, and since it last brought something late.
"""

from __future__ import annotations

STEADY_SHARE = 1 / 3
LATE_SHARE = 1 / 5
LATEST_MS = 60_000


class Channel:
    """What one instance has heard since it started; times in milliseconds."""

    def __init__(self, window_ms: int, now_ms: int) -> None:
        """`window_ms`: the settle window. SES's longest pause between two posts of an event (20 s
        over SNS, by default) must fit into a third of it.
        """
        self._quiet_ms = int(window_ms * STEADY_SHARE)
        self._late_ms = min(int(window_ms * LATE_SHARE), LATEST_MS)
        self._revived_ms = self._heard_ms = now_ms

    def heard(self, at_ms: int, now_ms: int) -> None:
        """An event of that time has come now."""
        if now_ms - at_ms > self._late_ms or now_ms - self._heard_ms > self._quiet_ms:
            self._revived_ms = now_ms
        self._heard_ms = now_ms

    def steady(self, now_ms: int) -> bool:
        """Whether it has run for long enough that nothing old is still on its way."""
        return now_ms - self._revived_ms >= self._quiet_ms
