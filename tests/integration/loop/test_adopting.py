"""A group that the log has forgotten goes on, and no row of its outbox is published twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from kafka import KafkaAdminClient

from shared.errors import Misconfigured, PositionOutsideLog, WrongStore
from shared.log.port import Log
from shared.log.record import Record, TopicPartition
from shared.log.topics import EVENTS, SUPPORTERS, SUPPRESSIONS
from shared.loop.adopting import Adopting, Witness
from shared.settings import LoopSettings, Settings
from tests.contract.log.narration import until
from tests.integration.loop.copying_service import PARTITIONS, open_log, open_store
from tests.integration.loop.test_loop import change, copied, feed, folder, run

__all__ = ["folder"]
SETTINGS = Settings(partitions=PARTITIONS, loop=LoopSettings(lease_seconds=5))


def forget(folder: Path, group: str = "copy") -> None:
    """As brokers do when a group was without members for long."""
    if not (folder / "kafka.json").exists():
        with closing(apsw.Connection(str(folder / "log.db"))) as database:
            database.execute("delete from position where grp = ?", (group,))
        return
    said = json.loads((folder / "kafka.json").read_text())
    admin = KafkaAdminClient(bootstrap_servers=said["bootstrap"])
    with closing(open_log(folder)) as log:

        def forgotten() -> bool:
            admin.delete_groups([said["settings"]["prefix"] + group])  # not while it has members
            return not log.positions(group, [SUPPORTERS])

        until(forgotten, "the group to be forgotten")
    admin.close()


def adopt(folder: Path, witnesses: Iterable[Witness] = ()) -> None:
    with closing(open_log(folder)) as log, closing(open_store(folder)) as store:
        Adopting("copy", (SUPPORTERS,), SETTINGS, log, store, witnesses).run()


def told(folder: Path) -> Witness:
    """Something that stands on the log and is of this store."""
    record = Record(EVENTS, 1, b"k", b"witness", (("ce_id", b"told"),))
    with closing(open_log(folder)) as log:
        log.append([record])
    return Witness(TopicPartition(EVENTS, 1), record.headers)


def pad(folder: Path, topic: str, records: int) -> None:
    """Another life on the same topics."""
    log: Log
    with closing(open_log(folder)) as log:
        log.append([Record(topic, n % PARTITIONS, b"k", b"other") for n in range(records)])


@pytest.mark.parametrize("fail_at", ["relay.before_commit:3", "relay.after_commit:3"])
def test_a_killed_one_goes_on_where_its_outbox_was(
    folder: Path, fail_at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(folder, [change(n) for n in range(60)])
    assert run("stateful", folder, fail_at) == -9
    assert 0 < sum(copied(folder).values()) < 60
    forget(folder)
    adopt(folder, [told(folder)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["adopted"] == PARTITIONS
    assert run("stateful", folder, until_count=61) == 0
    assert copied(folder) == Counter({"witness": 1, **{str(n): 1 for n in range(60)}})


def test_one_that_was_stopped_does_not_dare_to_go_on_by_itself(folder: Path) -> None:
    feed(folder, [change(n) for n in range(60)])
    assert run("stateful", folder, until_count=60) == 0
    forget(folder)
    feed(folder, [change(n) for n in range(60, 80)])
    assert run("stateful", folder, until_count=80) == 1
    adopt(folder, [told(folder)])
    assert run("stateful", folder, until_count=81) == 0
    assert copied(folder) == Counter({"witness": 1, **{str(n): 1 for n in range(80)}})


def test_there_is_nothing_to_adopt_where_the_log_knows_it(tmp_path: Path) -> None:
    feed(tmp_path, [change(n) for n in range(60)])
    assert run("stateful", tmp_path, until_count=60) == 0
    with pytest.raises(Misconfigured, match="nothing to adopt"):
        adopt(tmp_path)


def test_another_log_is_refused(tmp_path: Path) -> None:
    feed(tmp_path, [change(n) for n in range(60)])
    assert run("stateful", tmp_path, until_count=60) == 0
    for file in tmp_path.glob("log.db*"):
        file.unlink()
    with pytest.raises(PositionOutsideLog, match="it is another log"):
        adopt(tmp_path)
    pad(tmp_path, SUPPORTERS, 60)
    pad(tmp_path, EVENTS, 60)
    with pytest.raises(WrongStore, match="nothing shows that it is the right one"):
        adopt(tmp_path)
    forget(tmp_path)
    place = TopicPartition(EVENTS, 1)
    witness = Witness(place, (("ce_id", b"told"),))
    with pytest.raises(WrongStore, match="another one, or an older copy"):
        adopt(tmp_path, [witness])
    with closing(open_log(tmp_path)) as log:
        log.append([Record(*place, b"k", b"v", witness.headers)])
    adopt(tmp_path, [witness])


def test_a_witness_from_where_records_are_removed_says_nothing_by_being_away(
    tmp_path: Path,
) -> None:
    feed(tmp_path, [change(n) for n in range(60)])
    assert run("stateful", tmp_path, "relay.after_commit:3") == -9
    forget(tmp_path)
    adopt(tmp_path, [Witness(TopicPartition(SUPPRESSIONS, 1), (("ce_id", b"gone"),))])
