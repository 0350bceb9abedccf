"""Rebuilding a ledger on brokers and PostgreSQL: it takes long, is cut off, is called again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from services.sender.restoring import Restoring
from shared.errors import WrongStore
from shared.log.kafka import member
from shared.log.kafka.body import KafkaLog
from shared.log.kafka.topics import Topics
from shared.log.topics import EVENTS, TOPICS
from shared.observability.fail_points import COMMIT_POINTS
from shared.settings import KafkaSettings, read_settings
from tests.integration.bridges.command_line import answer, doorstep
from tests.integration.bridges.test_restore import lose
from tests.integration.sender.audience import entry, people
from tests.integration.sender.ledgers import LedgerSchema
from tests.integration.sender.processes import environment, until
from tests.integration.sender.station import PARTITIONS, Station
from tests.integration.sender.test_thawing import outlast

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster
    from tests.real_postgres import PostgresServer

PEOPLE = 40
POLL_INTERVAL_MS = 1_500
POINTS = [point for point in COMMIT_POINTS if point.startswith("restoring.")]


class OnBrokers(Station):
    """A station whose log is Kafka and whose ledger is in PostgreSQL."""

    def __init__(self, home: Path, cluster: Cluster, server: PostgresServer) -> None:
        super().__init__(home, body=server.dsn)
        kafka = KafkaSettings(prefix=f"{uuid.uuid4().hex[:8]}.", replication=1, min_insync=1)
        topics = Topics(cluster.bootstrap, kafka, PARTITIONS, TOPICS)
        topics.create(topics.plan())
        topics.close()
        self._server = server
        self.settings |= {
            "log": cluster.bootstrap, "kafka__prefix": kafka.prefix, "loop__lease_seconds": 6,
        }  # fmt: skip
        self._events.close()
        self.log.close()
        self.log = KafkaLog(  # type: ignore[assignment]
            cluster.bootstrap, kafka, home / "looking", PARTITIONS
        )
        self._events = self.log.follow(EVENTS)

    def lose_ledger(self) -> None:
        """From now on the database is a new one."""
        dsn = self._server.dsn()
        self.settings["postgres"] = dsn
        self.books.close()
        self.books = LedgerSchema(dsn)


@pytest.fixture
def station(
    tmp_path: Path, kafka_cluster: Cluster, postgres_server: PostgresServer
) -> Iterator[Station]:
    """A sender was killed under way, and its ledger is gone."""
    with OnBrokers(tmp_path, kafka_cluster, postgres_server) as here:
        sender = here.start_sender(sender__rate=40)
        here.feed_entries([entry("ask", person) for person in people(PEOPLE)], most=3)
        until(lambda: here.states("ask")["accepted"] > PEOPLE // 4, "some to be accepted")
        assert sender.kill() == -9
        here.lose_ledger()
        yield here


def rebuild(here: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(here.home, here.settings).items():
        if name.startswith("DOORSTEP_"):
            monkeypatch.setenv(name, value)
    Restoring(read_settings()).run()


def slowly(monkeypatch: pytest.MonkeyPatch, once: float, each: float) -> None:
    """A rebuilding that takes so long in one place, and for each batch."""
    take_in: Callable[..., None] = Restoring._take_in
    pauses = iter([once])

    def taking_in(self: Restoring, *batch: Any, **how: Any) -> None:
        outlast(next(pauses, each))
        take_in(self, *batch, **how)

    monkeypatch.setattr(Restoring, "_take_in", taking_in)


@pytest.mark.real("kafka")
@pytest.mark.real("postgres")
@pytest.mark.parametrize(("once", "each"), [(0.0, 0.3), (4.0, 0.0)])
def test_it_may_take_longer_than_brokers_wait_for_a_poll(
    station: OnBrokers,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    once: float,
    each: float,
) -> None:
    """In many small parts, or in one that costs it its membership."""
    monkeypatch.setattr(member, "POLL_INTERVAL_MS", POLL_INTERVAL_MS)
    station.settings["loop__lease_seconds"] = 1.4
    slowly(monkeypatch, once, each)

    rebuild(station, monkeypatch)

    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert sum(said["states"].values()) == PEOPLE
    station.settings["loop__lease_seconds"] = 6
    sender = station.start_sender().wait_for_line("loop.ownership")
    doorstep(station, "restore", "release")
    station.wait_until_closed("ask", PEOPLE)
    assert set(station.mailed("ask").values()) == {1}
    assert sender.stop() == 0


@pytest.mark.real("kafka")
@pytest.mark.real("postgres")
def test_cut_off_anywhere_it_is_called_again_and_no_sender_runs_before(station: OnBrokers) -> None:
    for point in POINTS:
        doorstep(station, "restore", "sender", code=1, fail_at=point)
        if point != "restoring.log.after_commit":
            refused = station.start_sender()
            assert refused.wait() == WrongStore.exit_code, refused.said()[-2000:]

    rebuilt = answer(station, "restore", "sender")["states"]

    assert sum(rebuilt.values()) == PEOPLE
    sender = station.start_sender().wait_for_line("loop.ownership")
    doorstep(station, "restore", "release")
    station.wait_until_closed("ask", PEOPLE)
    station.wait_until_heard("ask")
    assert set(station.mailed("ask").values()) == {1}
    verdict = station.audit("ask", kills=2, window=PEOPLE)
    assert verdict["findings"] == []
    assert station.doubled_records() == []
    assert sender.stop() == 0


def test_half_a_ledger_is_refused_though_the_log_has_forgotten_the_group(tmp_path: Path) -> None:
    """As brokers forget a group that was away for a week."""
    with Station(tmp_path) as here:
        sender = here.start_sender()
        here.feed("ask", people(PEOPLE))
        here.wait_until_closed("ask", PEOPLE)
        here.wait_until_heard("ask")
        assert sender.stop() == 0
        database = apsw.Connection(str(tmp_path / "log.db"))
        database.execute("delete from position where grp = 'sender'")
        database.close()
        lose(here.ledger, None)

        doorstep(here, "restore", "sender", code=1, fail_at="restoring.store.after_commit")
        assert here.start_sender().wait() == WrongStore.exit_code
        assert answer(here, "restore", "sender")["states"] == {"accepted": PEOPLE}


def test_rows_without_an_address_stay_without(tmp_path: Path) -> None:
    """Of people who were erased."""
    with Station(tmp_path, rate=20) as here:
        sender = here.start_sender()
        here.feed("ask", people(PEOPLE), priority="low")
        until(lambda: here.states("ask")["accepted"] > 2, "the first")
        assert sender.kill() == -9
        database = apsw.Connection(str(here.ledger))
        database.execute("update message set to_address = ''")
        database.close()

        rebuilt = answer(here, "restore", "sender")["states"]

        assert sum(rebuilt.values()) == PEOPLE
        assert here.books.rows("select distinct to_address from message") == [("",)]
