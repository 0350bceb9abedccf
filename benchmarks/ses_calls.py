"""Calls to SES with everything the promise asks for, against a bare loop of boto3.

Ours: one sender process on a SQLite ledger, the whole of it: last look, intents, calls, outcomes,
events put on the log. Reference: boto3 with its defaults in a loop, durable nowhere. The same mails
of 20 KB, the same SES sandbox. Each side has one core to itself and the sandbox the other, where
there are two. With a latency, the reference is what the latency allows so many calls in flight.

    make bench NAME=ses_calls [BENCH_OPTIONS="--latency-ms 30 --in-flight 64 --gateway boto3"]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import boto3
from botocore.config import Config

from benchmarks.pipeline import cpu_seconds
from deploy.ses_sandbox.process import SandboxProcess
from tests.integration.sender.audience import SENDER, Person, entry, mail_to, people
from tests.integration.sender.processes import environment
from tests.integration.sender.station import Station

SEND = "bench"
LINE = "x" * 74
MAIL_BYTES = 20_000
REFERENCE_MAILS = 1_500
OUR_CORE, SANDBOX_CORE = 0, 1
PATIENCE = 600
# Events are dropped: what is measured are calls, not what they cause.
FAST_SES = ("--max-send-rate", "100000", "--events-dropped")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--messages", type=int, default=5_000)
    options.add_argument("--latency-ms", type=float, default=0.0)
    options.add_argument("--in-flight", type=int, default=32)
    options.add_argument("--gateway", choices=("lean", "boto3"), default="lean")
    given = options.parse_args()
    pin(SANDBOX_CORE)  # and what is started from here, until it is told otherwise
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        station = Station(
            Path(folder), "--latency-ms", str(given.latency_ms), *FAST_SES,
            window=given.in_flight, rate=100_000, gateway=given.gateway,
            read_timeout_seconds=30, settle_seconds=60,
        )  # fmt: skip
        stack.push(station)  # without entering it, which starts a tracker
        ours = run_sender(station, given.messages)
    allowed = 1000 * given.in_flight / given.latency_ms if given.latency_ms else None
    theirs = run_reference()
    reference = allowed or theirs["rate"]
    print(
        json.dumps(
            {
                "name": "ses_calls",
                "value": round(ours["rate"], 1),
                "unit": "calls/s",
                "reference": round(reference, 1),
                "ratio": round(ours["rate"] / reference, 2),
                "cpu_seconds_per_1000": round(ours["cpu"] * 1000, 3),
                "reference_cpu_seconds_per_1000": round(theirs["cpu"] * 1000, 3),
                "gateway": given.gateway,
                "in_flight": given.in_flight,
                "latency_ms": given.latency_ms,
                "messages": given.messages,
                "cores": os.cpu_count(),
            }
        )
    )


def run_sender(station: Station, messages: int) -> dict[str, float]:
    """Calls a second from the first to the last, CPU seconds a call of the whole process."""
    station.sandbox.start()
    station.order(SEND, paused=True)
    sender = station.start_sender()
    pin(OUR_CORE, sender.pid)
    sender.wait_for_line('"assigned": [')
    station.feed_entries([entry(SEND, one, mail=mail_of(one)) for one in people(messages)])
    wait(lambda: station.states(SEND)["ready"] == messages)
    cpu = cpu_seconds(sender.pid)
    station.order(SEND, paused=False)
    wait(lambda: accepted(station))
    began, already = time.monotonic(), accepted(station)
    wait(lambda: accepted(station) == messages)
    seconds = time.monotonic() - began
    return {
        "rate": (messages - already) / seconds,
        "cpu": (cpu_seconds(sender.pid) - cpu) / messages,
    }


def wait(condition: Callable[[], object]) -> None:
    """Look now and then: the sender is not to feel that it is watched."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def accepted(station: Station) -> int:
    ((number,),) = station.books.rows(
        "select count(*) from message where send_id = ? and occurrence = 0 and state = 'accepted'",
        (SEND,),
    )
    return int(number)


def run_reference() -> dict[str, float]:
    """A sandbox of its own without latency, and a process of its own with one core."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
        SandboxProcess(Path(folder), *FAST_SES) as sandbox,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        return pool.apply(boto3_loop, (sandbox.url,))


def boto3_loop(url: str) -> dict[str, float]:
    pin(OUR_CORE)
    os.environ.update(environment(Path(), {}))
    client = boto3.client("sesv2", endpoint_url=url, config=Config(region_name="eu-west-2"))
    mails = [(person.address, mail_of(person).encode()) for person in people(REFERENCE_MAILS)]
    cpu, began = time.process_time(), time.monotonic()
    for address, raw in mails:
        client.send_email(
            FromEmailAddress=SENDER,
            Destination={"ToAddresses": [address]},
            Content={"Raw": {"Data": raw}},
            ConfigurationSetName="doorstep",
            EmailTags=[{"Name": name, "Value": "campaign"} for name in "mpsvoa"],
        )
    return {
        "rate": len(mails) / (time.monotonic() - began),
        "cpu": (time.process_time() - cpu) / len(mails),
    }


def mail_of(person: Person) -> str:
    return mail_to(person, f"{LINE}\r\n" * (MAIL_BYTES // (len(LINE) + 2)))


def pin(core: int, pid: int = 0) -> None:
    """Keep a process to one core, where there are several and the system can."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(pid, {core})


if __name__ == "__main__":
    main()
