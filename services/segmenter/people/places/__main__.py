"""`python -m services.segmenter.people.places FOLDER`: unpack the whole directory, and tell of it.

One line of JSON for each first letter, the last with release, count and the attribution that the
licence asks for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.segmenter.people.places.directory import ATTRIBUTION, Directory
from shared.errors import DoorstepError, Misconfigured


def main(arguments: list[str]) -> int:
    """0, or the exit code of what went wrong."""
    try:
        if len(arguments) != 1:
            raise Misconfigured("wanted: the folder to unpack the postcode directory into")
        unpack(Path(arguments[0]))
    except DoorstepError as error:
        print(f"postcodes: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def unpack(folder: Path) -> None:
    """Count every letter, which packs those that are not packed yet."""
    directory = Directory.open(folder)
    whole, letters = 0, directory.letters
    for done, letter in enumerate(letters, 1):
        whole += directory.count(letter)
        told: dict[str, object] = {"letter": letter, "done": done, "of": len(letters)}
        if done == len(letters):
            told |= {"release": directory.release, "postcodes": whole, "attribution": ATTRIBUTION}
        print(json.dumps(told, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
