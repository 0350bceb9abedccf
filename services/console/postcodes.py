"""`doorstep import postcodes`: the directory of UK postcodes, unpacked before it is needed.

The segmenter's own program does it; the console shows how far it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import typer

from services.console.home import handed_down, postcodes_folder
from services.console.options import JSON
from services.console.screen import progress_bar
from services.console.surroundings import here
from shared.errors import Misconfigured


def postcodes(context: typer.Context, as_json: JSON = False) -> None:
    """Unpack the directory of all UK postcodes, once, so that the first import is quick."""
    around = here(context)
    folder = postcodes_folder(around.settings)
    command = [sys.executable, "-m", "services.segmenter.people.places", str(folder)]
    environment = handed_down(around.settings, os.environ)
    with (
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process,
        progress_bar(around.screen.err) as progress,
    ):
        task = progress.add_task("Unpacking postcodes", total=None)
        said: dict[str, Any] = {}
        for line in process.stdout or ():
            said = json.loads(line)
            progress.update(task, completed=said.get("done"), total=said.get("of"))
    if process.returncode:
        raise Misconfigured("the postcode directory could not be unpacked: see above")
    if as_json:
        around.screen.json(said | {"folder": str(folder)})
        return
    around.screen.say(
        ("✓ ", "green"),
        f"{said.get('postcodes', 0):,} postcodes of release {said.get('release')} in {folder}",
    )
    around.screen.say((str(said.get("attribution", "")), "dim"))
