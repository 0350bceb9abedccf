"""Opening the log that the settings name."""

from __future__ import annotations

from shared.errors import Misconfigured
from shared.log.embedded.body import EmbeddedLog
from shared.log.port import Log
from shared.settings import Settings


def open_log(settings: Settings) -> Log:
    """The body of the log. Raises Misconfigured when this release has none of that name."""
    if settings.log == "embedded":
        return EmbeddedLog(settings.home / "log.db", settings.partitions)
    raise Misconfigured(
        f"DOORSTEP_LOG={settings.log}: this release runs on the embedded log only; "
        "leave DOORSTEP_LOG unset"
    )
