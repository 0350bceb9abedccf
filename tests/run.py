"""`make test`: runs the tests and says in one line each which real components are missing.

At home a missing component is skipped by name; with CI=true it is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.components import missing_components

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


def random_kills() -> str:
    """How many random kills the long runs will have."""
    from tests.end_to_end import test_kill_run, test_whole_run

    sender, all_services = test_kill_run.KILLS, test_whole_run.KILLS
    return (
        f"random kills: {sender} of the sender under each policy, {all_services} of all services;"
        " 50 of each with CI=true"
    )


def main(arguments: list[str]) -> int:
    missing = missing_components()
    for line in missing:
        print(f"missing: {line}")
    if not DATA.is_dir():
        print("absent: the folder of real postcode and mail samples; tests on it are skipped")
    if missing and os.environ.get("CI") == "true":
        print("CI=true: a missing component is a failure")
        return 1
    print(random_kills(), flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
