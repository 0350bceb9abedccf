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
from shared.moved import refuse_moved
from shared.settings import PREFIX, Settings, read_settings

SECRET: Final = "secret"  # noqa: S105 - the name of a file
ACTION_KEY: Final = "action-key"
TOKEN_KEYS: Final = "token-keys"  # noqa: S105 - the name of a file
LOG: Final = "log.db"
KAFKA: Final = "kafka"
POSTGRES: Final = "postgres"
MODE: Final = "mode"
STORES: Final = ("segmenter/people.db", "sender/ledger.db")


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
    if not settings.token_keys and settings.token_keys_file is None:
        kept["token_keys_file"] = settings.home / TOKEN_KEYS
    if "log" not in settings.model_fields_set and (settings.home / KAFKA).is_file():
        kept["log"] = (settings.home / KAFKA).read_text().strip()
    given_store = {"postgres", "postgres_file"} & settings.model_fields_set
    if not given_store and (settings.home / POSTGRES).is_file():
        kept["postgres_file"] = settings.home / POSTGRES
    return settings.model_copy(update=kept)


def with_log(settings: Settings, kafka: str | None) -> Settings:
    """The settings with the brokers that were named, if any were."""
    return settings if kafka is None else settings.model_copy(update={"log": kafka})


def with_postgres(settings: Settings, dsn: str | None) -> Settings:
    """The settings with the connection string that was given, if one was."""
    if dsn is None:
        return settings
    return settings.model_copy(update={"postgres": SecretStr(dsn), "postgres_file": None})


def check_log(settings: Settings) -> None:
    """Raises Misconfigured when the home's programme is in a file, and brokers are named; or the
    other way round.
    """
    home = settings.home
    if settings.log == "embedded":
        refuse_moved(home)
    if settings.log != "embedded" and (home / LOG).exists() and not (home / KAFKA).exists():
        raise Misconfigured(
            f"{home} has its programme in {LOG}, and what is on Kafka would be another one: begin "
            "another folder with --home, or go on without --kafka"
        )


def check_stores(settings: Settings) -> None:
    """Raises Misconfigured when the home's stores are files, and PostgreSQL is named."""
    home, there = settings.home, [file for file in STORES if (settings.home / file).exists()]
    if not settings.postgres_dsn():
        refuse_moved(home)
    if settings.postgres_dsn() and there and not (home / POSTGRES).exists():
        raise Misconfigured(
            f"{home} has its stores in files ({', '.join(there)}), and those in PostgreSQL would "
            "be others: begin another folder with --home, or go on without --postgres"
        )


def keep_places(settings: Settings) -> Settings:
    """Remember in the home where log and stores are, so that later commands need not be told."""
    home = settings.home
    if settings.log != "embedded":
        replace_file(home / KAFKA, settings.log)
    dsn = settings.postgres_dsn()
    if not dsn:
        return settings
    if settings.postgres_file is None:
        replace_file(home / POSTGRES, dsn)
        return settings.model_copy(
            update={"postgres": SecretStr(""), "postgres_file": home / POSTGRES}
        )
    if settings.postgres_file != home / POSTGRES:
        replace_file(home / POSTGRES, dsn)
    return settings


def is_rehearsal(home: Path) -> bool:
    """Whether the home was begun for rehearsals."""
    try:
        return (home / MODE).read_text().strip() == "rehearsal"
    except OSError:
        return False


def require_home(settings: Settings) -> None:
    """Raises Misconfigured when there is nothing of Doorstep in the home folder, or not here any
    more.
    """
    if settings.log == "embedded":
        refuse_moved(settings.home)
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
        if (settings.home / LOG).exists() or (settings.home / KAFKA).exists():
            raise Misconfigured(
                f"{settings.home / SECRET} is missing, and the log of this home was written with "
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
    found[f"{PREFIX}LOG"] = settings.log
    if settings.postgres_file is not None:
        found.pop(f"{PREFIX}POSTGRES", None)
        found[f"{PREFIX}POSTGRES_FILE"] = str(settings.postgres_file)
    if settings.secret_file is not None:
        found[f"{PREFIX}SECRET_FILE"] = str(settings.secret_file)
    if settings.token_keys_file is not None:
        found[f"{PREFIX}TOKEN_KEYS_FILE"] = str(settings.token_keys_file)
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


def _part(path: Path, text: str) -> Path:
    """A file beside `path` that only its owner may read, whole and on the disk."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    return part


def replace_file(path: Path, text: str) -> None:
    """Write what only its owner may read, in the place of what is there."""
    try:
        _part(path, text).replace(path)
    except OSError as error:
        raise Misconfigured(f"{path}: cannot write it: {error}") from error


def _keep(path: Path, text: str) -> Path:
    """Write a key that only its owner may read; the one that is there already wins."""
    try:
        part = _part(path, text)
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    except OSError as error:
        raise Misconfigured(f"{path}: cannot write this key: {error}") from error
    return path
