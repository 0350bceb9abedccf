"""After a move: `doorstep up` starts the home where it lives now, nowhere else; times are kept."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import httpx
import pytest

from shared.errors import Misconfigured
from shared.log.embedded.body import EmbeddedLog
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.port import Log
from shared.log.record import Record, Stored
from shared.log.topics import DAY_MS, EVENTS, PROGRAMME, SUPPORTERS, TOPICS
from shared.settings import KafkaSettings
from tests.end_to_end.whole_run import CAMPAIGN, EVERYBODY, TEMPLATE, Pipeline, statement
from tests.integration.bridges.command_line import doorstep
from tests.integration.bridges.test_move import finished
from tests.integration.console.test_up import Supervised
from tests.integration.sender.audience import people
from tests.integration.sender.processes import ROOT, environment, until
from tests.integration.sender.station import PARTITIONS

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

PEOPLE = 12


def kafka_settings() -> KafkaSettings:
    return KafkaSettings(prefix=f"{uuid.uuid4().hex[:8]}.", replication=1, min_insync=1)


def named(kafka: KafkaSettings) -> dict[str, object]:
    """As settings of the environment."""
    return {
        f"kafka__{name}": getattr(kafka, name) for name in ("prefix", "replication", "min_insync")
    }


def click(here: Pipeline, send: str) -> None:
    """On the link of one of its mails, as a person does."""
    mail = next(one for one in here.sandbox.mails() if one["X-SES-Tag-s"] == send)
    text = "".join(
        part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        for part in mail.walk()
        if part.get_content_maintype() == "text"
    )
    path = re.search(r"/c/[^\s\"<]+", text)
    assert path, text
    url = f"http://127.0.0.1:{here.settings['tracker__port']}{path[0]}"
    assert httpx.get(url).status_code == 302


@pytest.mark.real("kafka")
@pytest.mark.real("postgres")
def test_a_moved_home_is_started_by_up_and_never_embedded(
    tmp_path: Path, kafka_cluster: Cluster, postgres_dsn: str
) -> None:
    kafka = kafka_settings()
    dsn = tmp_path / "dsn"
    dsn.write_text(postgres_dsn)
    home = tmp_path / "home"
    home.mkdir()
    with Pipeline(home) as here:
        here.tell(*(statement(person, "everybody") for person in people(PEOPLE)))
        here.apply(CAMPAIGN, TEMPLATE, EVERYBODY)
        here.launch("first")
        until(lambda: finished(here.log, "first"), "the first send to be finished")
        here.wait_until_heard("first")
        for name in ("segmenter", "renderer", "sender", "tracker"):
            assert here._running[name].stop() == 0
        said = doorstep(
            here, "move", "--kafka", kafka_cluster.bootstrap, postgres_file=dsn, **named(kafka)
        ).stdout
        assert "Start with `doorstep up`" in said
        dsn.unlink()

        # Embedded, it starts by no way.
        assert "has moved" in doorstep(here, "up", code=64, log="embedded").stderr
        for service in ("segmenter", "sender", "tracker"):
            refused = here.start(f"services.{service}")
            assert refused.wait() == Misconfigured.exit_code
            assert "has moved" in refused.said()
        assert not (home / "log.db").exists()
        assert not (home / "sender" / "ledger.db").exists()

        # With the home alone it goes on.
        own = {**here.settings, "sender__ses_endpoint": here.sandbox.url, **named(kafka)}
        up = Supervised(
            "-m", "services.console", "up", "--json", environment=environment(home, own)
        )
        try:
            for service in ("segmenter", "renderer", "sender", "tracker"):
                up.wait_for(action="up.ready", program=service)
            here.log = KafkaLog(  # type: ignore[assignment]
                kafka_cluster.bootstrap, kafka, tmp_path / "looking", PARTITIONS
            )
            here._events = here.log.follow(EVENTS)
            here._told = []
            here.launch("second")
            until(
                lambda: finished(here.log, "second"), "the second send to be finished", seconds=90
            )
            assert here.mailed("second").total() == PEOPLE
            assert set((here.mailed("first") + here.mailed("second")).values()) == {1}
            click(here, "first")
            here.wait_for_event("first", "clicked")
            assert (
                "moved already"
                in doorstep(here, "move", "--kafka", kafka_cluster.bootstrap, code=64).stderr
            )
        finally:
            code = up.end(120)
            assert up.process.stdout is not None
            up.process.stdout.close()
        assert code == 0


@pytest.mark.real("kafka")
def test_records_keep_their_times_and_go_when_they_were_to_go(
    tmp_path: Path, kafka_cluster: Cluster
) -> None:
    """One has passed its retention, and is removed at the brokers after the move, not during it."""
    kafka, now_ms = kafka_settings(), int(time.time() * 1000)
    own = {**named(kafka), "partitions": PARTITIONS}
    old = [
        Record(SUPPORTERS, 0, str(days).encode(), b"{}", (), int(now_ms - days * DAY_MS))
        for days in (8, 6, 3, 0)
    ]
    others = [
        Record(EVENTS, 0, b"late", b"{}", (), now_ms - 400 * DAY_MS),
        Record(EVENTS, 0, b"to come", b"{}", (), now_ms + DAY_MS),
        Record(PROGRAMME, 0, b"a/b", b"{}", (), now_ms - 300 * DAY_MS),
    ]
    log = EmbeddedLog(tmp_path / "log.db", PARTITIONS)
    log.append(old + others)
    log.close()
    with closing(apsw.Connection(str(tmp_path / "log.db"))) as database:
        database.executemany(
            "update record set timestamp_ms = ? where key = ?",
            [(record.timestamp_ms, record.key) for record in old + others],
        )

    done = subprocess.run(
        [sys.executable, "-m", "services.console", "move", "--kafka", kafka_cluster.bootstrap,
         "--postgres", "postgresql://nobody@127.0.0.1:1/none", "--json"],
        cwd=ROOT, env=environment(tmp_path, own), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    topics = Topics(kafka_cluster.bootstrap, kafka, PARTITIONS, TOPICS)
    assert [plan.drift for plan in topics.plan()] == [{}] * len(TOPICS)
    topics.close()
    there = KafkaLog(kafka_cluster.bootstrap, kafka, tmp_path / "looking", PARTITIONS)
    until(lambda: there.first_offsets(SUPPORTERS)[0] > 0, "the oldest to be removed")
    kept = read(there, SUPPORTERS)
    assert [each.timestamp_ms for each in kept] == [each.timestamp_ms for each in old[1:]]
    assert [each.timestamp_ms for each in read(there, PROGRAMME)] == [others[2].timestamp_ms]
    late, to_come = read(there, EVENTS)
    assert late.timestamp_ms == others[0].timestamp_ms
    assert to_come.timestamp_ms < now_ms + 600_000, "brokers take no time to come"

    there.append([Record(SUPPORTERS, 0, b"after", b"{}", (), now_ms - 8 * DAY_MS)])
    assert read(there, SUPPORTERS)[-1].timestamp_ms >= now_ms, "brokers give the time again"
    there.close()


def read(log: Log, topic: str) -> list[Stored]:
    found: list[Stored] = []
    follower: Any = log.follow(topic)
    ends = follower.end_offsets()
    while any(follower.next_offsets().get(n, 0) < end for n, end in ends.items()):
        found += follower.read(timeout_seconds=0.2)
    follower.close()
    return found
