"""One, two and three senders on one PostgreSQL ledger: does each one more add its share?

SES is the sandbox with 80 ms latency and 16 calls in flight for each sender, so that one sender is
bound to 200 messages a second by waiting alone. Value: messages a second with three; reference:
three times what one made in the same run. Rates count from the order to go until the last message
has a final state in the ledger.

    make bench NAME=senders [BENCH_OPTIONS="--messages 3000"]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from deploy.ports import free_port
from tests.integration.sender.audience import people
from tests.integration.sender.processes import until
from tests.integration.sender.station import Station
from tests.real_postgres import PostgresServer

LATENCY_MS, WINDOW, MOST = 80, 16, 3


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--messages", type=int, default=3_000)
    messages = options.parse_args().messages
    with PostgresServer(durable=True) as server:
        rates = {number: rate_of(server, number, messages) for number in range(1, MOST + 1)}
    print(
        json.dumps(
            {
                "name": "senders",
                "value": round(rates[MOST], 1),
                "unit": "messages/s",
                "reference": round(MOST * rates[1], 1),
                "ratio": round(rates[MOST] / (MOST * rates[1]), 2),
                "by_senders": {number: round(rate, 1) for number, rate in rates.items()},
                "bound_by_latency": WINDOW * 1000 / LATENCY_MS,
                "cores": os.cpu_count(),
            }
        )
    )


def rate_of(server: PostgresServer, senders: int, messages: int) -> float:
    """Messages a second with so many senders."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
        Station(
            Path(folder), "--latency-ms", str(LATENCY_MS), body=server.dsn, window=WINDOW,
            rate=100_000,
        ) as station,
    ):  # fmt: skip
        station.order("bench", paused=True)
        started = [station.start_sender(sender__port=free_port()) for _ in range(senders)]
        for sender in started:
            sender.wait_for_line('"assigned": [')
        station.feed("bench", people(messages, "bench"))
        until(lambda: station.states("bench")["ready"] == messages, "the intake")
        station.order("bench", paused=False)
        until(lambda: station.states("bench")["ready"] < messages, "the first call")
        began = time.monotonic()
        station.wait_for_states("bench", seconds=600, accepted=messages)
        return messages / (time.monotonic() - began)


if __name__ == "__main__":
    main()
