"""What is to befall an estate during a chaos run, and when: kills, freezes, joins, outages."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tests.end_to_end.estate import Estate, wait_seconds
from tests.end_to_end.kill_run import Plant, Policy
from tests.real_postgres import PostgresServer

LEASE_SECONDS = 10
FROZEN_SECONDS = LEASE_SECONDS + 6
BROKER_AWAY_SECONDS = 12
KILLED = ("sender", "segmenter", "renderer", "tracker")
JOINING = ("segmenter", "renderer", "sender")
KILLED_WHILE_STARTING = 0.1
"""In each second in which it is still starting."""
LONGEST_START = 15.0

Planted = Plant | Literal["deaf"]


@dataclass(frozen=True, slots=True)
class Chaos:
    """What is to be done. `pace`: seconds from one kill to the next; `share`: of each fault."""

    recipients: int = 100_000
    brokers: int = 3
    segmenters: int = 2
    renderers: int = 2
    senders: int = 3
    kills: int = 40
    """In all; each of the four services has its share."""
    policies: tuple[Policy, ...] = ("leave", "resend")
    seed: int = 1
    plant: Planted | None = None
    pace: float = 15.0
    share: float = 0.005
    happenings: bool = True
    """Besides kills: broker, database, frozen, joining and leaving."""
    seconds_limit: float = 7_200

    @property
    def seconds(self) -> float:
        """How long the kills take; the pace of sending is such that it lasts as long."""
        return max(1, self.kills) * self.pace


class Story:
    """Prints a line per happening, with the seconds since the beginning."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._began, self._quiet = time.monotonic(), quiet
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(f"{self.seconds:8.1f} s  {text}")
        if not self._quiet:
            print(self.lines[-1], flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


class Deeds:
    """What befalls the estate, one deed at a time."""

    def __init__(self, estate: Estate, server: PostgresServer, run: Chaos, say: Story) -> None:
        self._estate, self._server, self._run, self._say = estate, server, run, say
        self._dice = random.Random(run.seed)

    def agenda(self) -> list[tuple[float, Callable[[], None]]]:
        """(second, deed), in order."""
        run, whole = self._run, self._run.seconds
        services = [KILLED[number % len(KILLED)] for number in range(run.kills)]
        self._dice.shuffle(services)
        found = [
            ((number + 0.7) * run.pace, self._kill(service))
            for number, service in enumerate(services)
        ]
        if run.happenings:
            found += list(self._happenings(whole))
        return sorted(found, key=lambda entry: entry[0])

    def _happenings(self, whole: float) -> Iterator[tuple[float, Callable[[], None]]]:
        for place, service in enumerate(JOINING):
            yield (0.05 + 0.04 * place) * whole, self._join(service)
            yield (0.75 + 0.06 * place) * whole, self._leave(service)
        frozen: dict[str, str] = {}
        for at, service in ((0.2, "sender"), (0.42, "segmenter")):
            yield at * whole, self._freeze(service, frozen)
            yield at * whole + FROZEN_SECONDS, self._thaw(service, frozen)
        yield 0.35 * whole, self._restart_database
        if self._run.brokers > 1:
            broker = self._dice.randint(1, self._run.brokers)
            yield 0.6 * whole, lambda: self._kill_broker(broker)
            yield 0.6 * whole + BROKER_AWAY_SECONDS, lambda: self._start_broker(broker)

    def _kill(self, service: str) -> Callable[[], None]:
        def deed() -> None:
            if names := self._estate.of(service):
                name = self._dice.choice(names)
                end = time.monotonic() + LONGEST_START
                while self._dice.random() >= KILLED_WHILE_STARTING and time.monotonic() < end:
                    if self._estate.working(name):
                        break
                    wait_seconds(1.0)
                self._estate.kill(name)
                self._say(f"{name} is killed with SIGKILL and started again")

        return deed

    def _join(self, service: str) -> Callable[[], None]:
        return lambda: self._say(f"{self._estate.join(service).name} joins")

    def _leave(self, service: str) -> Callable[[], None]:
        def deed() -> None:
            name = self._dice.choice(self._estate.of(service))
            self._say(f"{name} leaves, in {self._estate.leave(name):.1f} s")

        return deed

    def _freeze(self, service: str, frozen: dict[str, str]) -> Callable[[], None]:
        def deed() -> None:
            frozen[service] = self._dice.choice(self._estate.of(service))
            self._estate.freeze(frozen[service])
            self._say(f"{frozen[service]} is frozen with SIGSTOP")

        return deed

    def _thaw(self, service: str, frozen: dict[str, str]) -> Callable[[], None]:
        def deed() -> None:
            self._estate.thaw(frozen[service])
            self._say(f"{frozen[service]} is thawed")

        return deed

    def _restart_database(self) -> None:
        began = time.monotonic()
        self._server.restart("immediate")
        self._say(f"PostgreSQL crashed and was started in {time.monotonic() - began:.1f} s")

    def _kill_broker(self, number: int) -> None:
        self._estate.cluster.kill(number)
        self._say(f"broker {number} is killed with SIGKILL")

    def _start_broker(self, number: int) -> None:
        self._estate.cluster.start_broker(number)
        self._say(f"broker {number} is started again")
