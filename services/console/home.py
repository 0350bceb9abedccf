"""The home folder: where it is, and the keys that are kept in it.

A secret is made once, when a home begins, and never again: identities hang on it. Keys given by
the environment win.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from shared.errors import Misconfigured
from shared.settings import PREFIX, Settings, read_settings

SECRET: Final = "secret"  # noqa: S105 - the name of a file
ACTION_KEY: Final = "action-key"
LOG: Final = "log.db"


def read_home(home: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings, with `home` over DOORSTEP_HOME, and the keys that its folder holds."""
    given = {} if home is None else {"home": home}
    settings = read_settings(environment, **given)
    settings = settings.model_copy(update={"home": settings.home.expanduser().absolute()})
    kept: dict[str, object] = {}
    if not _has_secret(settings) and (settings.home / SECRET).is_file():
        kept["secret_file"] = settings.home / SECRET
    if not settings.action_keys and (settings.home / ACTION_KEY).is_file():
        kept["action_keys"] = (SecretStr((settings.home / ACTION_KEY).read_text().strip()),)
    return settings.model_copy(update=kept)


def require_home(settings: Settings) -> None:
    """Raises Misconfigured when there is nothing of Doorstep in the home folder."""
    if settings.log == "embedded" and not (settings.home / LOG).is_file():
        raise Misconfigured(
            f"{settings.home}: there is no Doorstep here. Start it once with `doorstep up`, "
            f"or say where it is with --home or {PREFIX}HOME"
        )


def begin_home(settings: Settings) -> Settings:
    """Make the folder and its keys where they are missing.

    Raises Misconfigured when a log is there and its secret is not: a new one would make strangers
    of everybody in it.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"{settings.home}: cannot make this folder: {error}") from error
    made: dict[str, object] = {}
    if not _has_secret(settings):
        if (settings.home / LOG).exists():
            raise Misconfigured(
                f"{settings.home / SECRET} is missing, and {settings.home / LOG} was written with "
                f"it: put it back from your backup, or set {PREFIX}SECRET as before"
            )
        made["secret_file"] = _keep(
            settings.home / SECRET, base64.b64encode(secrets.token_bytes(32)).decode()
        )
    if not settings.action_keys:
        kept = _keep(settings.home / ACTION_KEY, secrets.token_urlsafe(32))
        made["action_keys"] = (SecretStr(kept.read_text().strip()),)
    return settings.model_copy(update=made)


def handed_down(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service: ours, with the home and its keys said outright."""
    found = dict(environment)
    found[f"{PREFIX}HOME"] = str(settings.home)
    if settings.secret_file is not None:
        found[f"{PREFIX}SECRET_FILE"] = str(settings.secret_file)
    if settings.action_keys and f"{PREFIX}ACTION_KEYS" not in found:
        keys = ",".join(f'"{key.get_secret_value()}"' for key in settings.action_keys)
        found[f"{PREFIX}ACTION_KEYS"] = f"[{keys}]"
    found.setdefault(f"{PREFIX}POSTCODES", str(postcodes_folder(settings)))
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, found.get("PYTHONPATH", "").split(os.pathsep))]
    found["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return found


def postcodes_folder(settings: Settings) -> Path:
    """Where the postcode directory is kept unpacked."""
    return settings.postcodes or settings.home / "postcodes"


def _has_secret(settings: Settings) -> bool:
    return bool(settings.secret.get_secret_value()) or settings.secret_file is not None


def _keep(path: Path, text: str) -> Path:
    """Write a key that only its owner may read; the one that is there already wins."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    except OSError as error:
        raise Misconfigured(f"{path}: cannot write this key: {error}") from error
    return path
