"""`python -m deploy.kafka`: one broker or three in the foreground, until a signal ends them."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.kafka.artifacts import KAFKA_VERSION
from deploy.kafka.class_archive import prepared
from deploy.kafka.cluster import Cluster, NotReady
from deploy.kafka.missing import Missing

_HOME: Final = Path(".doorstep", "kafka")
_CONTROLLERS_ABOVE: Final = 100  # the controller of a broker at 9092 is at 9192


def main(arguments: Sequence[str]) -> int:
    """0 after an orderly end, 64 where this machine lacks something, 1 when a broker fails."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(f"Apache Kafka {KAFKA_VERSION}: fetched once, then from the cache ...", flush=True)
        installation = prepared()
        if given.fetch_only:
            print(f"in {installation.jars[0].parent}, run by {installation.java}")
            return 0
        brokers = range(given.port, given.port + given.brokers)
        cluster = Cluster(
            given.home,
            given.brokers,
            ports=[*brokers, *(port + _CONTROLLERS_ABOVE for port in brokers)],
            installation=installation,
        )
        with cluster:
            print(f"bootstrap servers: {cluster.bootstrap}   (data in {given.home})", flush=True)
            cluster.wait_for_end()
    except Missing as missing:
        print(f"kafka: {missing}", file=sys.stderr)
        return missing.exit_code
    except NotReady as failure:
        print(f"kafka: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.kafka", description="A real Apache Kafka without containers."
    )
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--home", type=Path, default=_HOME, help="folder of data and logs")
    parser.add_argument("--port", type=int, default=9092, help="of the first broker")
    parser.add_argument(
        "--fetch-only", action="store_true", help="only fill the cache, for a later run offline"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
