"""The loop: crashes at every commit point, poison, newer versions, waiting, the budget."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.errors import WrongStore
from shared.log.record import Record
from shared.log.topics import DEAD_LETTERS, EVENTS, SUPPORTERS, TOPICS
from shared.wire.cloudevents import decode, encode
from shared.wire.dead_letters import DeadLetter
from shared.wire.supporters import SupporterChanged
from tests.contract.log.conftest import prepare_kafka
from tests.contract.log.narration import read_all, until
from tests.integration.loop.copying_service import PARTITIONS, open_log

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
POINTS = {
    "stateless": ("stateless.before_commit", "stateless.after_commit"),
    "stateful": (
        "stateful.before_commit",
        "stateful.after_commit",
        "relay.before_commit",
        "relay.after_commit",
    ),
}
CASES = [
    (kind, f"{point}:{time}") for kind, points in POINTS.items() for point in points
    for time in (1, 3)
]  # fmt: skip


def change(number: int, source: str = "import") -> Record:
    data = SupporterChanged(supporter_id=str(number), stated_by="import", source=source, at=NOW)
    return encode(
        data, id=str(number), source="test", subject=str(number), time=NOW,
        topic=SUPPORTERS, partition=number % PARTITIONS, key=str(number),
    )  # fmt: skip


def feed(folder: Path, records: list[Record]) -> None:
    log = open_log(folder)
    log.append(records)
    log.close()


def run(kind: str, folder: Path, fail_at: str = "", until_count: int = 10**9) -> int:
    return subprocess.run(
        [sys.executable, "-m", "tests.integration.loop.copying_service",
         kind, str(folder), fail_at, str(until_count)],
        cwd=ROOT, timeout=60, check=False,
    ).returncode  # fmt: skip


def start(kind: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.loop.copying_service",
         kind, str(folder), "", str(10**9)], cwd=ROOT,
    )  # fmt: skip


def copied(folder: Path) -> Counter[str]:
    log = open_log(folder)
    follower = log.follow(EVENTS)
    found = Counter((stored.value or b"").decode() for stored in read_all(follower))
    follower.close()
    log.close()
    return found


def letters(folder: Path) -> list[DeadLetter]:
    log = open_log(folder)
    follower = log.follow(DEAD_LETTERS)
    found = [decode(stored).data for stored in read_all(follower)]
    follower.close()
    log.close()
    assert all(isinstance(letter, DeadLetter) for letter in found)
    return found  # type: ignore[return-value]


@pytest.fixture(params=["file", "cluster"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder on one SQLite file each for log and store, or on Kafka and PostgreSQL."""
    if request.param == "cluster":
        cluster = request.getfixturevalue("kafka_cluster")
        prepare_kafka(tmp_path, cluster, 1, PARTITIONS, TOPICS)
        (tmp_path / "postgres").write_text(request.getfixturevalue("postgres_dsn"))
    return tmp_path


@pytest.mark.parametrize(("kind", "fail_at"), CASES)
def test_a_crash_at_a_commit_point_loses_and_doubles_nothing(
    kind: str, fail_at: str, folder: Path
) -> None:
    """Also: an outbox row is published exactly once over crashes in the relay."""
    feed(folder, [change(n) for n in range(60)])
    assert run(kind, folder, fail_at) == -9
    assert run(kind, folder, until_count=60) == 0
    assert copied(folder) == Counter({str(n): 1 for n in range(60)})


@pytest.mark.parametrize("kind", ["stateless", "stateful"])
def test_poison_goes_to_the_dead_letters_and_its_neighbours_go_through(
    kind: str, tmp_path: Path
) -> None:
    broken = replace(change(3), value=b"{not json")
    bare = replace(change(4), headers=())
    feed(
        tmp_path,
        [change(0), change(1, "poison"), change(2), broken, bare, change(5, "bug"), change(6)],
    )
    assert run(kind, tmp_path, until_count=3) == 0
    assert copied(tmp_path) == Counter({"0": 1, "2": 1, "6": 1})
    found = {(letter.partition, letter.offset): letter for letter in letters(tmp_path)}
    assert {letter.error for letter in found.values()} == {
        "NeverRetry", "Malformed", "ZeroDivisionError",
    }  # fmt: skip
    reasons = " ".join(letter.reason for letter in found.values())
    assert "this record is poison" in reasons
    assert "the header ce_specversion is missing" in reasons
    assert all(letter.group == "copy" and letter.topic == SUPPORTERS for letter in found.values())


def test_what_a_unique_index_refuses_for_good_is_a_dead_letter_on_both_bodies(
    folder: Path,
) -> None:
    """The store of the copying service takes each supporter once."""
    feed(folder, [change(0), change(1), change(1), change(2), change(5)])
    assert run("stateful", folder, until_count=4) == 0
    assert copied(folder) == Counter({"0": 1, "1": 1, "2": 1, "5": 1})
    (letter,) = letters(folder)
    assert (letter.topic, letter.key) == (SUPPORTERS, "1")
    assert "seen" in letter.reason


@pytest.mark.parametrize("kind", ["stateless", "stateful"])
def test_a_newer_version_stops_its_partition_and_no_other(kind: str, tmp_path: Path) -> None:
    newer = change(0)
    headers = tuple(
        (name, b"urn:doorstep:schema:supporter.changed:99" if name == "ce_dataschema" else value)
        for name, value in newer.headers
    )
    feed(tmp_path, [replace(newer, headers=headers), change(4), change(1), change(5)])
    process = start(kind, tmp_path)
    until(lambda: sum(copied(tmp_path).values()) == 2, "the other partition")
    process.kill()
    process.wait()
    assert copied(tmp_path) == Counter({"1": 1, "5": 1})
    assert letters(tmp_path) == []


@pytest.mark.parametrize("kind", ["stateless", "stateful"])
def test_what_is_not_ready_waits_in_order_while_others_go_on(kind: str, tmp_path: Path) -> None:
    feed(tmp_path, [change(0, "later"), change(4), change(1)])
    process = start(kind, tmp_path)
    until(lambda: copied(tmp_path) == Counter({"1": 1}), "the other partition")
    (tmp_path / "ready").touch()
    until(lambda: sum(copied(tmp_path).values()) == 3, "the rest")
    process.kill()
    process.wait()
    assert copied(tmp_path) == Counter({"0": 1, "1": 1, "4": 1})


def test_too_many_dead_letters_stop_the_service_and_are_kept(tmp_path: Path) -> None:
    feed(tmp_path, [change(n * PARTITIONS, "poison") for n in range(8)])
    assert run("stateful", tmp_path) != 0
    assert run("stateful", tmp_path, until_count=0) == 0
    assert len(letters(tmp_path)) >= 6


def test_a_store_that_does_not_belong_to_the_log_is_refused(tmp_path: Path) -> None:
    feed(tmp_path, [change(n) for n in range(10)])
    assert run("stateful", tmp_path, until_count=10) == 0
    for file in tmp_path.glob("store.db*"):
        file.unlink()
    result = subprocess.run(
        [sys.executable, "-m", "tests.integration.loop.copying_service",
         "stateful", str(tmp_path), "", "99"],
        cwd=ROOT, timeout=60, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert WrongStore.__name__ in result.stderr
    assert "published from another store" in result.stderr


def test_a_second_instance_on_a_sqlite_store_refuses_to_start(tmp_path: Path) -> None:
    first = start("stateful", tmp_path)
    lock = tmp_path / "store.db"
    until(lock.exists, "the store of the first instance")

    def refused() -> bool:
        result = subprocess.run(
            [sys.executable, "-m", "tests.integration.loop.copying_service",
             "stateful", str(tmp_path), "", "0"],
            cwd=ROOT, timeout=60, check=False, capture_output=True, text=True,
        )  # fmt: skip
        return "in use by another instance" in result.stderr

    until(refused, "the refusal")
    first.kill()
    first.wait()
