"""A rehearsal: the same services, with a sandbox in the place of Amazon SES on this machine.

Nothing can leave the machine: the sender is pointed at the sandbox and holds no real credentials.
A home is either for rehearsals or for real, since its books tell of mail that was or was not sent.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from services.console.home import MODE, is_rehearsal
from services.console.instances import HOST
from services.console.supervising import Program
from shared.errors import Misconfigured
from shared.settings import PREFIX, Settings

NAME: Final = "ses-sandbox"
PORTS: Final = range(20_000, 32_000)
"""As those of `deploy/ports.py`, which is not in the image of the console."""
VALIDITY_SECONDS: Final = 15
SETTLE_SECONDS: Final = 20
"""Seconds instead of an hour; longer than a signature is valid, so that no late call is taken."""
DOUBTFUL_HIT_SECONDS: Final = 5
"""Seconds instead of a minute: a crowd clicks as soon as the mail is there, which is a doubt."""


def keep_mode(home: Path, *, rehearsal: bool) -> None:
    """Note at the first start what a home is for."""
    (home / MODE).write_text(("rehearsal" if rehearsal else "real") + "\n")


def check_mode(home: Path, *, rehearsal: bool) -> None:
    """Raises Misconfigured when the home is for the other."""
    path = home / MODE
    if not path.exists() or is_rehearsal(home) == rehearsal:
        return
    if rehearsal:
        raise Misconfigured(
            f"{home} has sent real mail: a rehearsal would fill its books with mail that never "
            "went out. Rehearse in another folder: `doorstep --home .rehearsal up --rehearsal`"
        )
    raise Misconfigured(
        f"{home} is for rehearsals: its books tell of mail that never went out. Begin another "
        "folder for real mail with --home, or go on rehearsing with `doorstep up --rehearsal`"
    )


def sandbox_directory(settings: Settings) -> Path:
    """Where the sandbox keeps its mail, requests and certificates."""
    return settings.home / NAME


def free_port() -> int:
    """A port of this machine that nobody uses now. Raises OSError when there is none.

    From below the range of outgoing connections, one of which could take it before its program.
    """
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as found, suppress(OSError):
            found.bind((HOST, port))
            return port
    raise OSError(f"no free port from {PORTS.start} to {PORTS.stop - 1} on {HOST}")


def sandbox(settings: Settings, environment: Mapping[str, str], port: int, log: Path) -> Program:
    """The sandbox as a program: it tells the tracker of every mail, as SES does."""
    url = f"http://{HOST}:{port}"
    events = f"http://{HOST}:{settings.tracker.port}/sns"
    command = [
        sys.executable, "-m", "deploy.ses_sandbox",
        "--directory", str(sandbox_directory(settings)),
        "--port", str(port),
        "--sns-endpoint", events,
        "--topic-arn", settings.tracker.topic_arns[0],
        "--validity-seconds", str(VALIDITY_SECONDS),
    ]  # fmt: skip
    return Program(NAME, command, environment, log, lambda: _answers(f"{url}/sandbox/switches"))


def pointed_at(environment: Mapping[str, str], settings: Settings, port: int) -> dict[str, str]:
    """The environment of the services in a rehearsal."""
    found = {
        name: value
        for name, value in environment.items()
        if name not in {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE"}
    }
    found |= {
        f"{PREFIX}SENDER__SES_ENDPOINT": f"http://{HOST}:{port}",
        f"{PREFIX}TRACKER__CERTIFICATES": str(sandbox_directory(settings) / "certificates"),
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    found.setdefault(f"{PREFIX}SENDER__SETTLE_SECONDS", str(SETTLE_SECONDS))
    found.setdefault(f"{PREFIX}SEGMENTER__DOUBTFUL_HIT_SECONDS", str(DOUBTFUL_HIT_SECONDS))
    return found


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
