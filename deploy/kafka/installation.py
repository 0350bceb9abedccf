"""A broker that can be started: a Java, the jars, and an archive of loaded classes.

The archive (JEP 350) halves the start of a broker and the CPU it takes. It fits one Java and one
set of jars; a Java that finds it does not fit goes on without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.kafka.artifacts import cache_folder, fetch
from deploy.kafka.java import find_java


@dataclass(frozen=True, slots=True)
class Installation:
    java: Path
    jars: tuple[Path, ...]

    @property
    def archive(self) -> Path:
        """Where the archive of loaded classes is, or would be."""
        mark = hashlib.sha256(str(self.java.resolve()).encode()).hexdigest()[:12]
        return self.jars[0].parent / f"classes-{mark}.jsa"

    def command(self, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """The command line of a main class with its arguments."""
        shared = [f"-XX:SharedArchiveFile={self.archive}"] if self.archive.is_file() else []
        class_path = ":".join(map(str, self.jars))
        return [str(self.java), *shared, *options, "-cp", class_path, *arguments]


def installed() -> Installation:
    """What this machine has, fetched first if need be. Raises Missing."""
    java = find_java()
    return Installation(java, fetch(cache_folder(), java))
