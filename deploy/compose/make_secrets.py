"""`python -m deploy.compose.make_secrets`: the secret files that compose.yaml mounts, made once.

What is there already is left as it is: identities hang on the secret for ever. The folder can only
be entered by its owner; the files in it can be read by all, because in a container another user
(10001) reads them and Compose mounts them with the rights they have here.
"""

from __future__ import annotations

import base64
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent / "secrets"
_REHEARSAL: Final = "[default]\naws_access_key_id = rehearsal\naws_secret_access_key = rehearsal\n"


def make(folder: Path) -> list[Path]:
    """Make what is missing; the files that were made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = folder / "postgres_password"
    made = _keep(password, secrets.token_urlsafe(32))
    dsn = f"postgresql://doorstep:{password.read_text().strip()}@postgres:5432/doorstep"
    made += _keep(folder / "doorstep_postgres", dsn)
    made += _keep(folder / "doorstep_secret", base64.b64encode(secrets.token_bytes(32)).decode())
    made += _keep(folder / "grafana_password", secrets.token_urlsafe(16))
    made += _keep(folder / "aws_credentials", _REHEARSAL)
    return made


def _keep(path: Path, text: str) -> list[Path]:
    if path.exists():
        return []
    path.write_text(text.rstrip("\n") + "\n", encoding="ascii")
    path.chmod(0o444)
    return [path]


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0]) if arguments else FOLDER
    for path in make(folder):
        print(f"made {path}")
    print(f"the secrets are in {folder}; keep a copy of doorstep_secret for ever")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
