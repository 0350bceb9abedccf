"""The keys that sign and verify tokens: from the settings, or from a file that is read again.

The file has a line for each key, `<id> <base64>` or `<id> <base64> <signs from>`; the newest id
whose time has come signs, all verify. Services look at the file once a second and go by what it
says then, without a restart. A new key that signs from a later time is known everywhere before it
is used: where a file takes a while to reach every machine, that keeps links working.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from shared.errors import Misconfigured
from shared.observability.logs import Journal
from shared.settings import PREFIX, Settings

LOOK_SECONDS: Final = 1.0
MOST_KEYS: Final = 255
SETTING: Final = f"{PREFIX}TOKEN_KEYS_FILE"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """`signs_from` None: from ever."""

    key_id: int
    key: bytes = field(repr=False)
    signs_from: datetime | None = None


def read_keys(text: str, where: str) -> list[TokenKey]:
    """The keys of a file, by id. Raises Misconfigured, naming the line and never the key."""
    found: dict[int, TokenKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        key = _read_line(words, f"{where}, line {number}")
        if key.key_id in found:
            raise Misconfigured(f"{where}, line {number}: there is a key {key.key_id} already")
        found[key.key_id] = key
    if not any(key.signs_from is None for key in found.values()):
        raise Misconfigured(
            f"{where}: no key signs from ever: wanted is a line `<id> <base64>` without a time"
        )
    return [found[key_id] for key_id in sorted(found)]


def write_keys(keys: list[TokenKey]) -> str:
    """The inverse of `read_keys`."""
    lines = ["# Keys of tokens: id, base64, and from when it signs. The newest signs, all verify."]
    for key in keys:
        since = f" {key.signs_from.isoformat()}" if key.signs_from is not None else ""
        lines.append(f"{key.key_id} {base64.b64encode(key.key).decode()}{since}")
    return "\n".join(lines)


def signing_key(keys: list[TokenKey], now: datetime) -> TokenKey:
    """The newest whose time has come. Pure."""
    return max(
        (key for key in keys if key.signs_from is None or key.signs_from <= now),
        key=lambda key: key.key_id,
    )


def kept_keys(settings: Settings) -> list[TokenKey]:
    """What the settings say now: of the file if it is there. Raises Misconfigured."""
    path = settings.token_keys_file
    if path is not None and settings.token_keys:
        raise Misconfigured(f"{SETTING} and {PREFIX}TOKEN_KEYS are both set: leave one out")
    if path is not None and path.exists():
        return _of_file(path)
    return [TokenKey(key_id, key) for key_id, key in sorted(settings.token_key_ring().items())]


class TokenKeys:
    """The keys as they are now. Used by one thread, or by several that do not mind a second."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises Misconfigured."""
        self._settings, self._clock = settings, clock
        self._path = settings.token_keys_file
        self._journal = Journal("token_keys")
        self._seen = self._stamp()
        self._next_look = clock() + LOOK_SECONDS
        self._take(kept_keys(settings))

    def verifying(self) -> Mapping[int, bytes]:
        """Key id to key, of all that may have signed."""
        self._look()
        return self._by_id

    def signing(self, now: datetime) -> tuple[int, bytes]:
        """The key that signs, with its id."""
        self._look()
        key = signing_key(self._keys, now)
        return key.key_id, key.key

    def _look(self) -> None:
        """Read the file again when it has changed. One that cannot be read changes nothing."""
        if self._path is None or self._clock() < self._next_look:
            return
        self._next_look = self._clock() + LOOK_SECONDS
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            if stamp is None:
                raise Misconfigured(f"{self._path} is gone: the keys it had go on")
            self._take(_of_file(self._path))
        except Misconfigured as error:
            self._journal.error("token_keys.unreadable", reason=str(error))
            return
        self._journal.info("token_keys.read", ids=sorted(self._by_id))

    def _take(self, keys: list[TokenKey]) -> None:
        self._keys, self._by_id = keys, {key.key_id: key.key for key in keys}

    def _stamp(self) -> tuple[int, int, int] | None:
        """What differs when the file is another; None while it is not there."""
        try:
            found = os.stat(self._path) if self._path is not None else None  # noqa: PTH116
        except OSError:
            return None
        return found and (found.st_mtime_ns, found.st_size, found.st_ino)


def _of_file(path: Path) -> list[TokenKey]:
    try:
        return read_keys(path.read_text(encoding="utf-8"), f"{SETTING}: {path}")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{SETTING}: cannot read {path}: {error}") from error


def _read_line(words: list[str], where: str) -> TokenKey:
    if len(words) > 3 or len(words) < 2 or not words[0].isdigit():
        raise Misconfigured(f"{where}: wanted `<id> <base64>` or `<id> <base64> <signs from>`")
    key_id = int(words[0])
    if not 0 <= key_id <= MOST_KEYS:
        raise Misconfigured(f"{where}: an id is 0 to {MOST_KEYS}, this is {key_id}")
    try:
        key = base64.b64decode(words[1], validate=True)
        since = datetime.fromisoformat(words[2]).astimezone(UTC) if len(words) == 3 else None
    except ValueError as error:
        raise Misconfigured(f"{where}: the key is no base64, or the time no ISO 8601") from error
    if not 16 <= len(key) <= 64:
        raise Misconfigured(f"{where}: a key has 16 to 64 bytes, this has {len(key)}")
    return TokenKey(key_id, key, since)
