"""Keys rotated and retired under a tracker that runs."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx

from services.console.home import SECRET, TOKEN_KEYS
from shared.token_keys import read_keys
from tests.integration.tracker.running import ROOT, RunningTracker, eventually
from tests.unit.tracker.building import SECRET_TEXT, token


def doorstep(tracker: RunningTracker, *words: str) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DOORSTEP_")}
    command = [sys.executable, "-m", "services.console", "--home", str(tracker.home), *words]
    subprocess.run(command, cwd=ROOT, env=clean, check=True, capture_output=True)


def marks(tracker: RunningTracker) -> dict[int, str]:
    """Key id to a token that it has signed."""
    text = (tracker.home / TOKEN_KEYS).read_text()
    return {
        key.key_id: token(key=key.key, key_id=key.key_id) for key in read_keys(text, "the file")
    }


def test_a_tracker_learns_of_new_and_retired_keys_without_a_restart(home: RunningTracker) -> None:
    (home.home / SECRET).write_text(SECRET_TEXT)
    home.start(
        DOORSTEP_TOKEN_KEYS="{}", DOORSTEP_TOKEN_KEYS_FILE=str(home.home / TOKEN_KEYS)
    ).ready()
    doorstep(home, "keys", "rotate", "--after", "3600")
    known = marks(home)
    assert home.status(f"/o/{known[1]}.gif") == 200, "the one that the secret makes"
    eventually(
        lambda: home.status(f"/o/{known[2]}.gif") == 200, "a new key verifies before it signs"
    )
    doorstep(home, "keys", "rotate", "--after", "0")
    newest = marks(home)[3]
    eventually(lambda: home.status(f"/c/{newest}/0") == 302, "the newest leads on")
    assert home.status(f"/c/{known[1]}/0") == 302, "links that are out keep working"

    doorstep(home, "keys", "retire", "1", "--yes")
    eventually(lambda: home.status(f"/c/{known[1]}/0") == 404, "a retired key's link leads nowhere")
    assert httpx.post(f"{home.url}/u/{known[1]}").status_code == 404
    assert home.status(f"/c/{known[2]}/0") == 302
    assert home.status(f"/c/{newest}/0") == 302
    assert not home.suppressions()
