"""From a click at the tracker to the supporter's change of segment on `memberships`.

All services on one real broker and a real PostgreSQL. People click, each once, at a steady rate,
over real HTTP; a reader of `memberships` notes when each entered the segment of those who clicked.
A click waits on purpose before it counts (`DOORSTEP_SEGMENTER__HIT_SECONDS`), which is part of the
value and of the reference.
Value: the median in milliseconds; reference: that wait and one second, the aim; ratio: how many
times faster.

    make bench NAME=click_to_membership [BENCH_OPTIONS="--rate 200 --clicks 3000"]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.pipeline import HOME, SEND, SETTINGS, body
from examples.rehearsal.crowd import PHONE, read_mail
from examples.rehearsal.stage import ROOT, Stage
from examples.rehearsal.supporters import write_supporters
from services.segmenter.people.places.directory import Directory
from shared.classification.signals import SOON_MS
from shared.log.opening import open_log
from shared.log.topics import MEMBERSHIPS
from shared.settings import Settings

AIM_MS = 1_000
PATIENCE = 600
CLICKERS = 8
SEGMENT = "clicked-not-volunteered"
SUPPORTER = re.compile(rb"^X-SES-Tag-p: (.*?)\r?$", re.MULTILINE)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rate", type=float, default=200.0)
    options.add_argument("--clicks", type=int, default=2_000)
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        body("kafka", Path(folder)) as settings,
        Stage(HOME, SETTINGS | settings) as stage,
    ):
        links = mailed_links(stage, given.clicks)
        time.sleep(SOON_MS / 1000)  # a click sooner after the delivery is doubted, and waits longer
        seen, reader = watch(stage, settings)
        clicked = click(stage, links, given.rate)
        stage.until(lambda: len(seen.keys() & clicked.keys()) == len(clicked), 120, "the last one")
        reader.set()
    delays = sorted((seen[who] - clicked[who]) * 1000 for who in clicked)
    median = delays[len(delays) // 2]
    waits_ms = Settings().segmenter.hit_seconds * 1000
    reference = waits_ms + AIM_MS
    print(
        json.dumps(
            {
                "name": "click_to_membership",
                "value": round(median, 1),
                "unit": "ms",
                "reference": reference,
                "ratio": round(reference / median, 2),
                "waits_on_purpose_ms": waits_ms,
                "p99_ms": round(delays[int(len(delays) * 0.99)], 1),
                "clicks": len(clicked),
                "clicks_per_second": given.rate,
                "cores": os.cpu_count(),
            }
        )
    )


def mailed_links(stage: Stage, wanted: int) -> dict[str, str]:
    """Supporter to a link of theirs, of a send that is over."""
    directory = Directory.open(ROOT / ".doorstep" / "postcodes")
    file = stage.home / "supporters.csv"
    people = wanted * 4
    write_supporters(file, [k.postcode.canonical for k in directory.postcodes("FK")], people)
    stage.start()
    stage.doorstep("import", "supporters", str(file), "--source", "bench", "--wait", quiet=True)
    stage.doorstep("apply", str(ROOT / "examples" / "forth-valley"), "--yes", quiet=True)
    stage.doorstep("send", "launch", SEND, "--yes", quiet=True)

    def closed() -> bool:
        books = stage.books(SEND)
        return bool(books["frozen"]) and not books["open"]

    stage.until(closed, PATIENCE, "the books to close", every=0.5)
    links: dict[str, str] = {}
    for path in sorted(stage.mail.iterdir()):
        found = SUPPORTER.search(path.read_bytes())
        mail = read_mail(path)
        if found is not None and mail.links:
            links[found.group(1).decode()] = mail.links[0]
        if len(links) >= wanted:
            break
    return links


def watch(stage: Stage, settings: dict[str, str]) -> tuple[dict[str, float], threading.Event]:
    """Supporter to the time their entering was read, filled from now on until the event is set."""
    log = open_log(
        Settings(home=stage.home, log=settings["LOG"], kafka={"replication": 1, "min_insync": 1})  # type: ignore[arg-type]
    )
    follower = log.follow(MEMBERSHIPS, from_end=True)
    seen: dict[str, float] = {}
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            for stored in follower.read(timeout_seconds=0.2):
                told = json.loads(stored.value or b"{}")
                if told.get("segment") == SEGMENT and told.get("change") == "entered":
                    seen.setdefault(told["supporter_id"], time.monotonic())
        follower.close()
        log.close()

    threading.Thread(target=read, daemon=True).start()
    return seen, stop


def click(stage: Stage, links: dict[str, str], rate: float) -> dict[str, float]:
    """Supporter to the time their click was sent."""
    host = urlsplit(stage.tracker).netloc
    own = threading.local()
    clicked: dict[str, float] = {}
    began = time.monotonic()

    def one(number: int, supporter: str, link: str) -> None:
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        connection = getattr(own, "connection", None)
        if connection is None:
            connection = own.connection = http.client.HTTPConnection(host, timeout=30)
        clicked[supporter] = time.monotonic()
        connection.request("GET", urlsplit(link).path, headers={"User-Agent": PHONE})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 302, answer.status

    with ThreadPoolExecutor(CLICKERS) as pool:
        for future in [
            pool.submit(one, number, *pair) for number, pair in enumerate(links.items())
        ]:
            future.result()
    return clicked


if __name__ == "__main__":
    main()
