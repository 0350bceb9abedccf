"""An embedded home moves to Kafka and PostgreSQL, and its programme goes on there."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.console.programme_topic import read_table
from shared.log.opening import open_log
from shared.settings import KafkaSettings, Settings
from tests.end_to_end.whole_run import CAMPAIGN, EVERYBODY, TEMPLATE, Pipeline, statement
from tests.integration.bridges.command_line import answer, doorstep
from tests.integration.sender.audience import people
from tests.integration.sender.ledgers import LedgerSchema
from tests.integration.sender.processes import until
from tests.integration.sender.station import PARTITIONS

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

PEOPLE = 40
CUTS = {
    "move.records.after_commit": -9,
    "move.records.after_commit:3": -9,
    "move.store.before_commit": 1,  # the process that moves a store dies, and the command says so
    "move.store.after_commit": 1,
    "move.group.after_commit:2": -9,
}
"""Where the command is ended, one call after the other, and the exit code."""


def finished(log: object, send: str) -> bool:
    decision = read_table(log).decisions.get(send)  # type: ignore[arg-type]
    return decision is not None and decision.state == "finished"


@pytest.mark.real("kafka")
@pytest.mark.real("postgres")
def test_a_drained_home_moves_though_cut_off_again_and_again_and_its_programme_goes_on(
    tmp_path: Path, kafka_cluster: Cluster, postgres_dsn: str
) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    there = {
        "kafka__prefix": prefix, "kafka__replication": 1, "kafka__min_insync": 1,
    }  # fmt: skip
    to = ("move", "--kafka", kafka_cluster.bootstrap, "--postgres", postgres_dsn)
    with Pipeline(tmp_path) as here:
        here.tell(*(statement(person, "everybody") for person in people(PEOPLE)))
        here.apply(CAMPAIGN, TEMPLATE, EVERYBODY)
        here.launch("first")
        until(lambda: finished(here.log, "first"), "the first send to be finished")
        here.wait_until_heard("first")
        assert "stop all services" in doorstep(here, *to, code=64, **there).stderr
        for name in ("segmenter", "renderer", "sender", "tracker"):
            assert here._running[name].stop() == 0

        for point, code in CUTS.items():
            doorstep(here, *to, code=code, fail_at=point, **there)
        counts = answer(here, *to, **there)["counts"]
        assert all(n["before"] == n["after"] for n in counts.values()), counts
        assert counts["sender.message"]["after"] == PEOPLE
        assert counts["segmenter.frozen"]["after"] == PEOPLE
        assert "moved already" in doorstep(here, *to, code=64, **there).stderr

        here.settings |= {**there, "log": kafka_cluster.bootstrap, "postgres": postgres_dsn}
        here.books = LedgerSchema(postgres_dsn)
        here.log = open_log(  # type: ignore[assignment]
            Settings(
                home=tmp_path / "looking", log=kafka_cluster.bootstrap, partitions=PARTITIONS,
                kafka=KafkaSettings(prefix=prefix, replication=1, min_insync=1),
            )
        )  # fmt: skip
        here.tracker = here.start("services.tracker").wait_for_line("tracker.listening")
        started = [here.start(f"services.{name}") for name in ("segmenter", "renderer", "sender")]
        here.launch("second")
        until(lambda: finished(here.log, "second"), "the second send to be finished", seconds=90)
        assert here.states("first") == {"accepted": PEOPLE}
        assert here.states("second") == {"accepted": PEOPLE}
        assert set((here.mailed("first") + here.mailed("second")).values()) == {1}
        assert [process.stop() for process in started] == [0, 0, 0]
