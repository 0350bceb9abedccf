"""The command line run as a person would, in the home of a station."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.integration.sender.processes import ROOT, environment
from tests.integration.sender.station import Station


def doorstep(
    station: Station, *words: str, code: int = 0, **settings: object
) -> subprocess.CompletedProcess[str]:
    """A command that ends with this code; `settings` over those of the station."""
    own = {**station.settings, "sender__ses_endpoint": station.sandbox.url, **settings}
    done = subprocess.run(
        [sys.executable, "-m", "services.console", *words], cwd=ROOT, text=True, check=False,
        env=environment(station.home, own), capture_output=True,
    )  # fmt: skip
    assert done.returncode == code, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
    assert "example.org" not in done.stdout + done.stderr, "no address is ever shown"
    return done


def answer(station: Station, *words: str, code: int = 0, **settings: object) -> Any:
    """What a command answers in JSON."""
    return json.loads(doorstep(station, *words, "--json", code=code, **settings).stdout)
