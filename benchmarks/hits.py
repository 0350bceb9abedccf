"""Durable tracked hits a second, on one core, against a bare ASGI application that does nothing.

Ours: a real tracker on the embedded log, pinned to one core; three pixels to a link, tokens of many
supporters, answered after the commit. Reference: the same uvicorn, pinned to the same core, with an
application that answers 204 and does nothing else. The load comes over loopback from this process
on the other core, over keep-alive connections that each wait for an answer before they ask again.
The two take turns, and each value is the median of its turns.

`p50_ms` and `p99_ms` are those of the tracker at half the load it took, from when a request was
due. `cpu_us_per_hit` holds all threads of the tracker, also what the forwarder did meanwhile, which
rests while people wait; `cpu_ratio` is the part of it that the reference takes, which travels
better where others use the cores, too. What was left in the spool is then forwarded:
`forwarded_per_second`, with `forwarding_cpu_us` for each hit. At last every hit that was answered
must be on `events`.

    make bench NAME=hits [BENCH_OPTIONS="--seconds 5 --turns 3"]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any, cast

import uvloop

from deploy.ports import free_port
from examples.rehearsal.stage import ROOT
from shared.log.embedded.body import EmbeddedLog
from shared.log.topics import EVENTS
from tests.unit.tracker.building import (
    PARTITIONS,
    SECRET_TEXT,
    TOKEN_KEY,
    programme_records,
    token,
)

HOME = ROOT / ".doorstep" / "bench-hits"
CONNECTIONS = 64
SUPPORTERS = 20_000
WARM_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
AGENTS = (
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
)


async def nothing(_scope: Any, _receive: Any, send: Any) -> None:
    """The reference: an application that answers and does nothing else."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--serve-nothing", type=int, default=0)
    given = options.parse_args()
    if given.serve_nothing:
        serve_nothing(given.serve_nothing)
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("hits: two cores are needed, one for the tracker and one for the load")
    os.sched_setaffinity(0, {cores[1]})
    requests = hits()
    with tracker(cores[0]) as ours, reference(cores[0]) as theirs:
        flat_out = [
            (load(theirs, requests, given.seconds), load(ours, requests, given.seconds))
            for _ in range(given.turns)
        ]
        drained = drain(ours)
        half = load(ours, requests, given.seconds, rate=median_rate(flat_out, 1) / 2)
        answered = ours.answered
    check_all_on_the_log(answered)
    rate, bare = median_rate(flat_out, 1), median_rate(flat_out, 0)
    cpu = median(own.cpu_us for _, own in flat_out)
    bare_cpu = median(other.cpu_us for other, _ in flat_out)
    delays = sorted(half.delays_ms)
    print(
        json.dumps(
            {
                "name": "hits",
                "value": round(rate),
                "unit": "durable hits/s",
                "reference": round(bare),
                "ratio": round(rate / bare, 2),
                "cpu_us_per_hit": round(cpu, 1),
                "reference_cpu_us": round(bare_cpu, 1),
                "cpu_ratio": round(bare_cpu / cpu, 2),
                "half_load_per_second": round(half.rate),
                "p50_ms": round(delays[len(delays) // 2], 1),
                "p99_ms": round(delays[int(len(delays) * 0.99)], 1),
                "left_in_spool": drained.answers,
                "forwarded_per_second": round(drained.rate),
                "forwarding_cpu_us": round(drained.cpu_us, 1),
                "connections": CONNECTIONS,
                "hits": answered,
                "cores": len(cores),
            }
        )
    )


def median_rate(turns: Sequence[tuple[Taken, Taken]], which: int) -> float:
    return median(turn[which].rate for turn in turns)


def hits() -> list[bytes]:
    """Requests of many supporters in no order: three pixels to a link."""
    chance = random.Random(1)
    supporters = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(SUPPORTERS)]
    found = []
    for number, supporter in enumerate(supporters):
        mark = token(supporter=supporter, edition=chance.choice(("", "E05000001", "E05000002")))
        path = f"/c/{mark}/{chance.choice((0, 1))}" if number % 4 == 0 else f"/o/{mark}.gif"
        found.append(
            f"GET {path} HTTP/1.1\r\nHost: t.hilltop.example\r\n"
            f"User-Agent: {chance.choice(AGENTS)}\r\nAccept: */*\r\n"
            "Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\r\n".encode()
        )
    chance.shuffle(found)
    return found


@dataclass(slots=True)
class Server:
    """A process that answers. `answered`: how often it did, in all."""

    process: subprocess.Popen[bytes]
    port: int
    answered: int = 0

    def cpu_seconds(self) -> float:
        """What all its threads have spent."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Taken:
    """What a turn brought."""

    seconds: float
    answers: int
    cpu_us: float
    delays_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


@contextmanager
def tracker(core: int) -> Iterator[Server]:
    """A tracker on a log that holds a small programme."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    log = EmbeddedLog(HOME / "log.db", PARTITIONS)
    log.append(programme_records())
    log.close()
    port = free_port()
    settings = {
        "DOORSTEP_HOME": str(HOME),
        "DOORSTEP_SECRET": SECRET_TEXT,
        "DOORSTEP_TOKEN_KEYS": json.dumps({1: base64.b64encode(TOKEN_KEY).decode()}),
        "DOORSTEP_TRACKER__PORT": str(port),
        "DOORSTEP_TRACKER__RATE_PER_ADDRESS": "1000000",
    }
    with server(core, port, settings, "services.tracker") as running:
        yield running


@contextmanager
def reference(core: int) -> Iterator[Server]:
    port = free_port()
    with server(core, port, {}, "benchmarks.hits", "--serve-nothing", str(port)) as running:
        yield running


def serve_nothing(port: int) -> None:
    import uvicorn  # noqa: PLC0415 - not needed, and not loaded, where the load is made

    uvicorn.run(
        nothing, host="127.0.0.1", port=port, loop="uvloop", http="httptools", ws="none",
        lifespan="off", log_config=None, access_log=False, server_header=False,
    )  # fmt: skip


@contextmanager
def server(core: int, port: int, settings: dict[str, str], *module: str) -> Iterator[Server]:
    clean = {name: each for name, each in os.environ.items() if not name.startswith("DOORSTEP_")}
    process = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, "-m", *module],
        cwd=ROOT, env=clean | settings | {"DOORSTEP_LOG_LEVEL": "warning"},
    )  # fmt: skip
    try:
        until_it_answers(process, port)
        yield Server(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_SECONDS:
        if process.poll() is not None:
            sys.exit(f"hits: a server ended with {process.returncode} before it answered")
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status in (200, 204):
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit("hits: a server did not answer in time")


class Client(asyncio.Protocol):
    """One connection with at most one request in hand."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._received = b""
        self.due = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = received.find(b"content-length: ", 0, head)
        body = int(received[length + 16 : received.index(b"\r\n", length)]) if length >= 0 else 0
        if len(received) < head + 4 + body:
            return
        if received[9:12] not in (b"200", b"204", b"302"):
            raise SystemExit(f"hits: answered {received[:120]!r}")
        self._received = b""
        self._crowd.answered(self)


class Crowd:
    """All connections, asking for `seconds`, flat out or at a rate."""

    def __init__(self, requests: list[bytes], seconds: float, rate: float) -> None:
        self._requests, self._seconds, self._rate = requests, seconds, rate
        self._position = random.randrange(len(requests))
        self._idle: list[Client] = []
        self._in_hand = 0
        self._began = 0.0
        self._over = asyncio.get_running_loop().create_future()
        self.taken = Taken(seconds, 0, 0.0)

    async def run(self, port: int) -> Taken:
        loop = asyncio.get_running_loop()
        clients = [
            (await loop.create_connection(lambda: Client(self), "127.0.0.1", port))[1]
            for _ in range(CONNECTIONS)
        ]
        self._began = time.perf_counter()
        self._idle += clients
        while self._left():
            self._ask_what_is_due()
            await asyncio.sleep(0.0005 if self._rate else self._seconds)
        if self._in_hand:
            await self._over
        self.taken.seconds = time.perf_counter() - self._began
        for client in clients:
            cast(asyncio.Transport, client.transport).close()
        return self.taken

    def answered(self, client: Client) -> None:
        now = time.perf_counter()
        self.taken.answers += 1
        self.taken.delays_ms.append((now - client.due) * 1000)
        self._in_hand -= 1
        if self._rate or not self._left():
            self._idle.append(client)
        else:
            self._ask(client, now)
        if not self._in_hand and not self._left() and not self._over.done():
            self._over.set_result(None)

    def _left(self) -> bool:
        return time.perf_counter() - self._began < self._seconds

    def _ask_what_is_due(self) -> None:
        now, asked = time.perf_counter(), self.taken.answers + self._in_hand
        while self._idle:
            due = self._began + asked / self._rate if self._rate else now
            if due > now:
                return
            self._ask(self._idle.pop(), due)
            asked += 1

    def _ask(self, client: Client, due: float) -> None:
        self._position = (self._position + 1) % len(self._requests)
        self._in_hand += 1
        client.due = due
        cast(asyncio.Transport, client.transport).write(self._requests[self._position])


def load(target: Server, requests: list[bytes], seconds: float, rate: float = 0.0) -> Taken:
    """Ask for so long, flat out or at a rate, after a moment to warm up."""
    warm = uvloop.run(turn(target, requests, WARM_SECONDS, rate))
    before = target.cpu_seconds()
    taken = uvloop.run(turn(target, requests, seconds, rate))
    taken.cpu_us = (target.cpu_seconds() - before) / taken.answers * 1e6
    target.answered += warm.answers + taken.answers
    return taken


async def turn(target: Server, requests: list[bytes], seconds: float, rate: float) -> Taken:
    return await Crowd(requests, seconds, rate).run(target.port)


def drain(target: Server) -> Taken:
    """Wait until all that was answered is on the log; what was left in the spool, and how fast it
    came.
    """
    log = EmbeddedLog(HOME / "log.db", PARTITIONS)
    spent, began = target.cpu_seconds(), time.perf_counter()
    left = target.answered - on_the_log(log)
    while (there := on_the_log(log)) < target.answered:
        if time.perf_counter() - began > PATIENCE_SECONDS:
            sys.exit(f"hits: only {there} of {target.answered} hits reached the log")
        time.sleep(0.02)
    log.close()
    seconds = time.perf_counter() - began
    return Taken(seconds, left, (target.cpu_seconds() - spent) / max(left, 1) * 1e6)


def on_the_log(log: EmbeddedLog) -> int:
    return sum(log.end_offsets(EVENTS).values())


def check_all_on_the_log(answered: int) -> None:
    """After an ordered stop every hit is there once."""
    log = EmbeddedLog(HOME / "log.db", PARTITIONS)
    there = on_the_log(log)
    log.close()
    shutil.rmtree(HOME)
    if there != answered:
        sys.exit(f"hits: {answered} were answered, {there} are on the log")


if __name__ == "__main__":
    main()
