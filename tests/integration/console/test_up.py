"""The supervisor with real processes: in order up, again after a crash, in order down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.console.stage import Stage, until

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

ROOT = Path(__file__).resolve().parents[3]
DRIVER = """
import json, sys
from pathlib import Path
from services.console.supervising import Program, Supervisor

folder = Path(sys.argv[1])

def program(name, code):
    mark = folder / f"{name}.ready"
    return Program(name, [sys.executable, "-c", code, str(mark)], {}, folder / f"{name}.log",
                   mark.exists)

def tell(it):
    print(json.dumps({"kind": it.kind, "program": it.program, "pid": it.pid, "why": it.why,
                      "last_words": it.last_words}), flush=True)

LIVES = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + LIVES
BROKEN = "import sys; print('the store is locked', file=sys.stderr); sys.exit(64)"
programs = {"lives": LIVES, "also": LIVES, "stubborn": STUBBORN, "broken": BROKEN}
chosen = sys.argv[2].split(",")
supervisor = Supervisor([program(name, programs[name]) for name in chosen], chosen[::-1], tell)
sys.exit(supervisor.run())
"""


class Supervised:
    """A supervisor in a process of its own, and what it has told so far."""

    def __init__(self, *command: str, environment: dict[str, str] | None = None) -> None:
        self.told: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, cwd=ROOT,
            env=os.environ | (environment or {}),
        )  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        *lines, self._rest = (self._rest + (self.process.stdout.read() or b"")).split(b"\n")
        self.told += [json.loads(line) for line in lines if line]
        return self.told

    def has(self, **wanted: object) -> dict[str, Any] | None:
        """The last thing told with these fields."""
        found = [each for each in self.read() if wanted.items() <= each.items()]
        return found[-1] if found else None

    def wait_for(self, **wanted: object) -> dict[str, Any]:
        until(lambda: self.has(**wanted) is not None, str(wanted), 60)
        found = self.has(**wanted)
        assert found is not None
        return found

    def end(self, seconds: float = 60) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)


@pytest.fixture
def started() -> Iterator[list[Supervised]]:
    made: list[Supervised] = []
    yield made
    for each in made:
        if each.process.poll() is None:
            each.end()
        if each.process.stdout is not None:
            each.process.stdout.close()


def test_what_is_killed_comes_back_and_what_needs_a_person_stays_down(
    started: list[Supervised], tmp_path: Path
) -> None:
    it = Supervised("-c", DRIVER, str(tmp_path), "lives,broken")
    started.append(it)
    down = it.wait_for(kind="stays_down", program="broken")
    assert down["last_words"] == "the store is locked"
    first = it.wait_for(kind="ready", program="lives")["pid"]
    os.kill(first, signal.SIGKILL)
    assert it.wait_for(kind="ended", program="lives")["why"] == "it was ended by SIGKILL"
    until(lambda: (it.has(kind="started", program="lives") or {}).get("pid") != first, "a restart")
    assert it.end() == 0
    assert sum(each["kind"] == "started" for each in it.read() if each["program"] == "broken") == 1


def test_programs_are_stopped_one_after_the_other_in_the_given_order(
    started: list[Supervised], tmp_path: Path
) -> None:
    it = Supervised("-c", DRIVER, str(tmp_path), "lives,also")
    started.append(it)
    for program in ("lives", "also"):
        it.wait_for(kind="ready", program=program)
    assert it.end() == 0
    ending = [(e["kind"], e["program"]) for e in it.read() if e["kind"].startswith("stop")]
    assert ending == [
        ("stopping", "also"), ("stopped", "also"), ("stopping", "lives"), ("stopped", "lives"),
    ]  # fmt: skip


def test_another_signal_ends_at_once_who_does_not_stop(
    started: list[Supervised], tmp_path: Path
) -> None:
    it = Supervised("-c", DRIVER, str(tmp_path), "stubborn")
    started.append(it)
    it.wait_for(kind="ready", program="stubborn")
    it.process.send_signal(signal.SIGTERM)
    it.wait_for(kind="stopping", program="stubborn")
    it.process.send_signal(signal.SIGINT)
    it.wait_for(kind="killed", program="stubborn")
    assert it.process.wait(timeout=30) == 0


def test_when_nothing_can_run_the_supervisor_says_so_by_its_exit_code(
    started: list[Supervised], tmp_path: Path
) -> None:
    it = Supervised("-c", DRIVER, str(tmp_path), "broken")
    started.append(it)
    assert it.process.wait(timeout=60) == 64


def test_a_rehearsal_runs_everything_and_stops_it_with_the_tracker_last(
    stage: Stage, started: list[Supervised]
) -> None:
    environment = {k: v for k, v in stage.environment.items() if v is not None}
    words = ("-m", "services.console", "--home", str(stage.home), "up", "--rehearsal", "--json")
    it = Supervised(*words, environment=environment)
    started.append(it)
    programs = ("ses-sandbox", "segmenter", "renderer", "sender", "tracker")
    for program in programs:
        it.wait_for(action="up.ready", program=program)
    assert stage.doorstep("status").exit_code == 0
    assert "runs here already" in stage.refused("up", "--rehearsal")
    killed = it.wait_for(action="up.ready", program="renderer")["pid"]
    os.kill(killed, signal.SIGKILL)
    until(
        lambda: (it.has(action="up.ready", program="renderer") or {}).get("pid") != killed,
        "the renderer to be ready again",
        60,
    )
    assert it.end() == 0
    stopped = [each["program"] for each in it.read() if each.get("action") == "up.stopped"]
    assert stopped == ["segmenter", "renderer", "sender", "ses-sandbox", "tracker"]
    assert any(each.get("action") == "service.stopped" for each in it.told), "logs are passed on"
    assert "is for rehearsals" in stage.refused("up")
    assert (stage.home / "secret").stat().st_mode & 0o777 == 0o600
    assert (stage.home / "action-key").stat().st_mode & 0o777 == 0o600


def test_a_port_that_is_taken_is_named_before_anything_starts(stage: Stage) -> None:
    stage.service("sender")
    said = stage.refused("up")
    assert f"port {stage.ports['sender']}, where the sender is to answer, is taken" in said
    assert "DOORSTEP_SENDER__PORT" in said


@pytest.mark.real("kafka")
@pytest.mark.real("postgres")
def test_several_instances_on_kafka_and_postgresql_are_found_by_the_other_commands(
    stage: Stage,
    started: list[Supervised],
    kafka_cluster: Cluster,
    postgres_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOORSTEP_KAFKA__PREFIX", f"{uuid.uuid4().hex[:8]}.")
    monkeypatch.setenv("DOORSTEP_PARTITIONS", "4")
    brokers = ("--kafka", kafka_cluster.bootstrap)
    said = stage.refused("up", *brokers, "--senders", "2")
    assert "several senders share their work" in said
    assert "give --postgres, too" in said
    said = stage.refused("up", *brokers, "--postgres", postgres_dsn)
    assert f"doorstep topics apply --kafka {kafka_cluster.bootstrap}" in said
    environment = {k: v for k, v in stage.environment.items() if v is not None}
    words = (
        "-m", "services.console", "--home", str(stage.home), "up", "--rehearsal", "--json",
        *brokers, "--postgres", postgres_dsn, "--senders", "2", "--segmenters", "2",
    )  # fmt: skip
    it = Supervised(*words, environment=environment)
    started.append(it)
    assert it.wait_for(action="up.starting")["topics_made"] > 0
    names = {"segmenter", "segmenter-2", "renderer", "sender", "sender-2", "tracker"}
    for name in names:
        it.wait_for(action="up.ready", program=name)

    def partitions() -> dict[str, float]:
        shown = json.loads(stage.doorstep("status", "--json").stdout)["services"]
        assert set(shown) == names, "without naming brokers or database"
        return {n: s["metrics"].get("doorstep_partitions_owned", 0) for n, s in shown.items()}

    shared = {"segmenter": 2, "segmenter-2": 2, "sender": 2, "sender-2": 2}
    until(lambda: shared.items() <= partitions().items(), "both to own a half", 60)
    assert {each["state"] for each in stage.json("topics", "plan")["topics"]} == {"right"}
    counted = stage.json("segment", "count", "--rule", "tag: member")
    assert (counted["partitions"], counted["missing_partitions"]) == ([0, 1, 2, 3], [])
    assert it.end(240) == 0  # eight programs, one after the other
    assert not (stage.home / "instances.json").exists()
    stopped = [each["program"] for each in it.read() if each.get("action") == "up.stopped"]
    assert stopped[:2] == ["segmenter", "segmenter-2"]
    assert stopped[-1] == "tracker"
    assert (stage.home / "logs" / "sender-2.log").is_file()
