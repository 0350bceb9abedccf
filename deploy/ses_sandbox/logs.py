"""Log lines: JSON on standard error, each with an `action`. Never an address, never a name."""

from __future__ import annotations

import json
import sys
import time

from deploy.ses_sandbox.timestamps import iso_millis


def log(action: str, **fields: object) -> None:
    """Write one line."""
    line = {"at": iso_millis(time.time_ns() // 1_000_000), "action": action, **fields}
    print(json.dumps(line), file=sys.stderr, flush=True)
