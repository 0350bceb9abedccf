"""What an outage is to show, long and short: brokers away, clicks, people who leave meanwhile.

    python -m tests.end_to_end.outages [--seconds 60] [--clicks 200] [--retention 60]

does two in their long form: all brokers are stopped for so many seconds, while people click and
unsubscribe at the tracker; and a send lasts for twice as long as its topics keep a record.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.kafka.cluster import Cluster
from shared.log.topics import AUDIENCE, EVENTS, MESSAGES
from shared.wire.cloudevents import decode
from shared.wire.events import Event
from tests.end_to_end.estate import Estate
from tests.end_to_end.reading import whole_topic
from tests.end_to_end.whole_run import CAMPAIGN, EVERYBODY, TEMPLATE, statement
from tests.integration.sender.audience import people
from tests.real_postgres import PostgresServer

ONE_EACH = {"tracker": 1, "segmenter": 1, "renderer": 1, "sender": 1}
WINDOW = 16
HITTERS = 8
PARTITIONS = 6
LONG_MAILS = 20
"""For each second of retention; some eight are sent a second."""


@dataclass(frozen=True, slots=True)
class Links:
    """The paths that one person's mail holds."""

    supporter_id: str
    address: str
    click: str
    unsubscribe: str


@dataclass(slots=True)
class Hits:
    """Answers to what people did at the tracker."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)
    slowest: float = 0.0


@contextmanager
def running(
    home: Path, cluster: Cluster, server: PostgresServer, *options: str, **settings: Any
) -> Iterator[Estate]:
    """One of each service, with short leases; `options` are the sandbox's."""
    with Estate(
        home, cluster, server, ONE_EACH, *options, partitions=PARTITIONS,
        sender__window=settings.pop("window", WINDOW), sender__settle_seconds=15,
        loop__lease_seconds=3, **{"sender__rate": 2_000, **settings},
    ) as estate:  # fmt: skip
        yield estate


def settled(estate: Estate, number: int, seed: str) -> None:
    """So many people, and the programme."""
    found = people(number, seed)
    estate.feed([statement(one, "everybody", partitions=estate.partitions) for one in found])
    estate.apply(CAMPAIGN, TEMPLATE, EVERYBODY)


def links_of(estate: Estate, send: str) -> list[Links]:
    """From the mails that SES took of a send."""
    mails = (message_from_bytes(path.read_bytes()) for path in estate.sandbox.mail_files())
    return [_links(mail) for mail in mails if mail["X-SES-Tag-s"] == send]


def unsubscribe(estate: Estate, links: Links) -> int:
    """One-click, as mailbox providers do it; the status of the answer."""
    with closing(_connection(estate)) as connection:
        return _hit(connection, links.unsubscribe, "POST")


def outage_of_brokers(
    estate: Estate, cluster: Cluster, *, seconds: float, clicks_a_second: float, leavers: int
) -> dict[str, Any]:
    """All brokers away under steady hits; what was answered and what is on `events` afterwards."""
    estate.launch("before", EVERYBODY)
    estate.wait_until_finished("before", seconds=180)
    estate.wait_until_heard()
    links = links_of(estate, "before")
    for node in cluster.nodes:
        cluster.kill(node.number)
    hits = steady_hits(estate, links, seconds, clicks_a_second, leavers)
    for node in cluster.nodes:
        cluster.start_broker(node.number)
    cluster.wait_ready()
    estate.wait_until_heard(seconds=180)
    told = Counter(event.kind for event in events(estate) if event.kind in HIT_KINDS)
    estate.launch("after", EVERYBODY)
    estate.wait_until_finished("after", seconds=180)
    estate.wait_until_heard()
    left = {one.address for one in links[:leavers]}
    mailed = {one.address for one in links_of(estate, "after")}
    return {
        "seconds": seconds,
        "answers": {f"{method} {status}": n for (method, status), n in hits.answers.items()},
        "unanswered": len(hits.unanswered),
        "slowest_ms": round(hits.slowest * 1000),
        "on events": dict(told),
        "left": len(left),
        "mailed after leaving": len(left & mailed),
        "mailed after": len(mailed),
        "ended by themselves": [str(one) for one in estate.ended],
        "crashed": len(estate.crashed),
        "verdict": estate.audit("before", "after", policy="leave", window=WINDOW),
    }


def outlasted_retention(
    home: Path, cluster: Cluster, server: PostgresServer, *, seconds: float, mails: int
) -> dict[str, Any]:
    """A send of some eight mails a second on topics that keep a record for `seconds`."""
    short = {"retention.ms": str(int(seconds * 1000)), "segment.ms": "1000"}
    with running(
        home, cluster, server, "--latency-ms", "100", window=1,
        topic_configs={AUDIENCE: short, MESSAGES: short}, segmenter__wave_recipients=2,
    ) as estate:  # fmt: skip
        settled(estate, mails, "long")
        estate.launch("long", EVERYBODY)
        began = time.monotonic()
        estate.wait_until_finished("long", seconds=180 + mails)
        took = time.monotonic() - began
        follower = estate.log.follow(MESSAGES)
        removed = sum(follower.next_offsets().values())
        follower.close()
        estate.wait_until_heard()
        return {
            "seconds": round(took, 1),
            "retention": seconds,
            "removed from messages": removed,
            "crashed": len(estate.crashed),
            "verdict": estate.audit("long", policy="leave", window=1),
        }


HIT_KINDS = ("clicked", "unsubscribed")


def steady_hits(
    estate: Estate, links: Sequence[Links], seconds: float, clicks_a_second: float, leavers: int
) -> Hits:
    """Clicks at an even pace from several connections; `leavers` unsubscribe meanwhile."""
    hits, lock = Hits(), threading.Lock()
    todo = iter(_schedule(links, seconds, clicks_a_second, leavers))
    began = time.monotonic()

    def work() -> None:
        with closing(_connection(estate)) as connection:
            hit_all(connection)

    def hit_all(connection: http.client.HTTPConnection) -> None:
        while True:
            with lock:
                entry = next(todo, None)
            if entry is None:
                return
            at, method, path = entry
            threading.Event().wait(max(0.0, began + at - time.monotonic()))
            asked = time.monotonic()
            try:
                status = _hit(connection, path, method)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with lock:
                    hits.unanswered.append(repr(error))
                continue
            with lock:
                hits.answers[method, status] += 1
                hits.slowest = max(hits.slowest, time.monotonic() - asked)

    threads = [threading.Thread(target=work) for _ in range(HITTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return hits


def events(estate: Estate) -> Iterator[Event]:
    """All of `events`."""
    for stored in whole_topic(estate.log, EVENTS):
        data = decode(stored).data
        assert isinstance(data, Event)
        yield data


def _schedule(
    links: Sequence[Links], seconds: float, clicks_a_second: float, leavers: int
) -> list[tuple[float, str, str]]:
    clicks = int(seconds * clicks_a_second)
    found = [
        (number / clicks_a_second, "GET", links[number % len(links)].click)
        for number in range(clicks)
    ]
    found += [
        (seconds * (number + 1) / (leavers + 1), "POST", links[number].unsubscribe)
        for number in range(leavers)
    ]
    return sorted(found)


def _links(mail: Message) -> Links:
    text = "".join(
        part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        for part in mail.walk()
        if part.get_content_maintype() == "text"
    )
    click = re.search(r'https?://[^\s"]+(/c/[^\s"<]+)', text)
    header = "".join(str(mail["List-Unsubscribe"]).split())
    left = re.search(r"https?://[^\s>]+(/u/[^\s>]+)", header)
    assert click, text
    assert left, mail.items()
    return Links(mail["X-SES-Tag-p"], mail["X-SES-Recipient"], click[1], left[1])


def _connection(estate: Estate) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(estate.tracker_url).netloc, timeout=30)


def _hit(connection: http.client.HTTPConnection, path: str, method: str) -> int:
    body = "List-Unsubscribe=One-Click" if method == "POST" else None
    headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101"}
    if body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.outages")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clicks", type=float, default=200)
    parser.add_argument("--retention", type=float, default=60)
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="outages-", ignore_cleanup_errors=True) as folder,
        Cluster(Path(folder, "kafka"), brokers=3) as cluster,
        PostgresServer(durable=True) as server,
    ):
        good = _brokers_away(Path(folder, "away"), cluster, server, given.seconds, given.clicks)
        found = outlasted_retention(
            Path(folder, "retention"), cluster, server,
            seconds=given.retention, mails=int(LONG_MAILS * given.retention),
        )  # fmt: skip
    print(json.dumps(found, indent=2))
    outlasted = found["seconds"] > 2 * given.retention and found["removed from messages"] > 0
    sound = found["verdict"]["balanced"] and not found["crashed"]
    return 0 if good and outlasted and sound else 1


def _brokers_away(
    home: Path, cluster: Cluster, server: PostgresServer, seconds: float, clicks_a_second: float
) -> bool:
    with Estate(home, cluster, server, ONE_EACH, say=print, partitions=PARTITIONS) as estate:
        settled(estate, 300, "outage")
        found = outage_of_brokers(
            estate, cluster, seconds=seconds, clicks_a_second=clicks_a_second, leavers=60
        )
    print(json.dumps(found, indent=2))
    clicks, told = int(seconds * clicks_a_second), found["on events"]
    sound = told == {"clicked": clicks, "unsubscribed": 60} and not found["unanswered"]
    sound = sound and not found["crashed"]
    return sound and not found["mailed after leaving"] and bool(found["verdict"]["balanced"])


if __name__ == "__main__":
    sys.exit(main())
