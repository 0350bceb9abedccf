"""What every command stands in: settings, screen, clock, the log, the services, who is asking.

Made by the command line before a command runs; nothing is opened until a command asks for it.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import cast

import typer

from services.console.asking import Services
from services.console.home import LOG, begin_home, read_home, require_home
from services.console.screen import Screen
from shared.clock import Clock, SystemClock
from shared.log.opening import open_log
from shared.log.port import Log
from shared.moved import moved_to
from shared.settings import PREFIX, Settings


@dataclass
class Surroundings:
    """`home` is what was given on the command line, if anything."""

    home: Path | None = None
    screen: Screen = field(default_factory=Screen)
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def settings(self) -> Settings:
        return read_home(self.home)

    @cached_property
    def services(self) -> Services:
        return Services(self.settings, on_gap=self.screen.warn)

    @contextmanager
    def log(self) -> Iterator[Log]:
        """The log of a home that is there. Raises Misconfigured."""
        require_home(self.settings)
        with self._opened() as opened:
            yield opened

    @contextmanager
    def log_if_there(self) -> Iterator[Log | None]:
        """The log, or None where none has begun."""
        home = self.settings.home
        if self.settings.log == "embedded" and not (home / LOG).is_file() and not moved_to(home):
            yield None
            return
        with self._opened() as opened:
            yield opened

    @contextmanager
    def log_to_write(self) -> Iterator[Log]:
        """The log; a home that was named is begun when it is not there yet."""
        if self.home is not None or f"{PREFIX}HOME" in os.environ:
            self.settings = begin_home(self.settings)
        else:
            require_home(self.settings)
        with self._opened() as opened:
            yield opened

    @contextmanager
    def _opened(self) -> Iterator[Log]:
        opened = open_log(self.settings, wait_seconds=0.0)
        try:
            yield opened
        finally:
            opened.close()

    def now(self) -> datetime:
        return self.clock.now()

    def close(self) -> None:
        """Let go of what was opened."""
        if "services" in self.__dict__:
            self.services.close()

    @cached_property
    def person(self) -> str:
        """Who gives the order: the name of the user on this machine."""
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return f"uid {os.getuid()}"


def here(context: typer.Context) -> Surroundings:
    """The surroundings of a command."""
    return cast("Surroundings", context.find_root().obj)
