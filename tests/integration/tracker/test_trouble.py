"""Full disks, a log that cannot take anything, poison, and spools that do not belong."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import apsw
import httpx
import pytest

from services.tracker.raw_hits import LinkHit, pack
from shared.errors import Misconfigured, NewerVersion, WrongStore
from shared.log.embedded.body import EmbeddedLog
from shared.log.record import Record, TopicSpec
from tests.integration.tracker.running import RunningTracker, eventually
from tests.unit.tracker.building import ADA, bearer, programme_records, token


def open_pixel(home: RunningTracker, supporter: str = ADA) -> int:
    return httpx.get(f"{home.url}/o/{token(supporter=supporter)}.gif", timeout=60).status_code


def put_into_spool(home: RunningTracker, *rows: bytes) -> None:
    spool = EmbeddedLog(home.home / "tracker" / "spool.db", 1, (TopicSpec("hits"),))
    spool.append([Record("hits", 0, None, row, (), 0) for row in rows])
    spool.close()


def rows_in_spool(home: RunningTracker) -> int:
    connection = apsw.Connection(str(home.home / "tracker" / "spool.db"))
    ((count,),) = connection.execute("select count(*) from record")
    connection.close()
    return int(count)


def test_on_a_full_disk_links_still_lead_on_and_everything_else_says_no(
    home: RunningTracker,
) -> None:
    home.start(file_bytes=1_000_000).ready()
    kept: list[str] = []
    while True:
        supporter = str(uuid.uuid4())
        status = open_pixel(home, supporter)
        if status == 503:
            break
        assert status == 200
        kept.append(supporter)
    mark = token()
    assert httpx.get(f"{home.url}/c/{mark}/0").status_code == 302
    assert httpx.post(f"{home.url}/u/{mark}").status_code == 503
    assert home.metric("doorstep_tracked_hits_refused_total", reason="not_kept") >= 3
    assert home.status("/readyz") == 200
    home.kill()
    home.start().ready()
    assert httpx.post(f"{home.url}/u/{mark}").status_code == 200
    assert home.stop() == 0
    assert sorted(event.supporter_id for event in home.events("opened")) == sorted(kept)
    assert [event.supporter_id for event in home.events("unsubscribed")] == [ADA]


def test_while_the_log_cannot_take_them_hits_stay_in_the_spool(home: RunningTracker) -> None:
    home.start().ready()
    log = apsw.Connection(str(home.home / "log.db"))
    log.execute("begin immediate")
    for _ in range(50):
        assert open_pixel(home) == 200
    assert rows_in_spool(home) == 50
    log.execute("rollback")
    log.close()
    assert len(home.forwarded(50)) == 50


def test_forwarded_hits_are_wiped_from_the_spool(home: RunningTracker) -> None:
    home.start().ready()
    for _ in range(20):
        open_pixel(home)
    home.forwarded(20)
    eventually(lambda: rows_in_spool(home) == 0, "the spool is empty")
    assert home.metric("doorstep_spool_age_seconds") == 0
    open_pixel(home)
    assert len(home.forwarded(21)) == 21


def test_a_poison_row_goes_to_the_dead_letters_and_its_neighbours_go_through(
    home: RunningTracker,
) -> None:
    good = pack(LinkHit(kind="opened", at_ms=1, bearer=bearer(), method="GET"))
    put_into_spool(home, b"\xff\x00 poison", good, b"{}", good)
    home.start().ready()
    home.forwarded(2)
    assert home.stop() == 0
    assert [event.kind for event in home.events()] == ["opened", "opened"]
    letters = home.dead_letters()
    assert [(one.group, one.error, one.offset) for one in letters] == [
        ("tracker", "Malformed", 0), ("tracker", "Malformed", 2),
    ]  # fmt: skip
    assert letters[0].topic.startswith("spool/")
    assert letters[0].value


def test_rows_of_a_newer_tracker_stop_an_older_one(home: RunningTracker) -> None:
    put_into_spool(home, b'{"kind":"hologram","format":3}')
    home.start()
    assert home.ended() == NewerVersion.exit_code
    assert rows_in_spool(home) == 1


def test_a_second_tracker_on_the_same_spool_is_refused(
    home: RunningTracker, tmp_path: Path
) -> None:
    home.start().ready()
    second = RunningTracker(home.home)
    second._starts = 7
    second.start()
    assert second.ended() == Misconfigured.exit_code
    assert "in use" in str(second.said())
    assert open_pixel(home) == 200


def test_a_port_that_is_taken_is_said_to_be_so(home: RunningTracker) -> None:
    home.start().ready()
    second = RunningTracker(home.home / "second")
    second.home.mkdir()
    second.start(DOORSTEP_TRACKER__PORT=str(home.port))
    assert second.ended() == Misconfigured.exit_code
    assert "DOORSTEP_TRACKER__PORT" in str(second.said())


def lose_the_spool(home: RunningTracker) -> None:
    for path in (home.home / "tracker").iterdir():
        path.unlink()


def test_a_lost_spool_stops_the_tracker_until_somebody_decides(home: RunningTracker) -> None:
    home.start().ready()
    open_pixel(home)
    home.forwarded(1)
    assert home.stop() == 0
    lose_the_spool(home)
    home.start()
    assert home.ended() == WrongStore.exit_code
    assert "--adopt-spool" in str(home.said())
    home.start("--adopt-spool")
    assert home.ended() == 0
    home.start().ready()
    open_pixel(home)
    assert len(home.forwarded(2)) == 2


def test_an_older_copy_of_the_spool_never_uses_an_offset_twice(home: RunningTracker) -> None:
    home.start().ready()
    open_pixel(home)
    home.forwarded(1)
    assert home.stop() == 0
    copy = home.home / "copy"
    shutil.copytree(home.home / "tracker", copy)
    home.start().ready()
    open_pixel(home)
    home.forwarded(2)
    assert home.stop() == 0
    shutil.rmtree(home.home / "tracker")
    copy.rename(home.home / "tracker")
    home.start()
    assert home.ended() == WrongStore.exit_code
    home.start("--adopt-spool")
    assert home.ended() == 0
    home.start().ready()
    open_pixel(home)
    home.forwarded(3)
    assert home.stop() == 0
    assert len({one.id for one in home.records("events")}) == 3


def test_taking_over_by_another_publisher_ends_the_tracker(home: RunningTracker) -> None:
    home.start().ready()
    log = EmbeddedLog(home.home / "log.db", 24)
    log.publisher("tracker").close()
    log.close()
    assert open_pixel(home) == 200
    assert home.ended() == 76
    home.start().ready()
    assert len(home.forwarded(1)) == 1


@pytest.mark.parametrize("arguments", [["--help"], ["--adopt-spool", "x"]])
def test_other_arguments_are_refused(home: RunningTracker, arguments: list[str]) -> None:
    home.start(*arguments)
    assert home.ended() == 64


def test_hits_before_the_programme_is_known_are_kept_and_find_their_send(tmp_path: Path) -> None:
    """The forwarder waits for the programme, so that no early hit loses its send."""
    running = RunningTracker(tmp_path)
    put_into_spool(running, pack(LinkHit(kind="opened", at_ms=1, bearer=bearer(), method="GET")))
    running.write_log(programme_records())
    try:
        running.start().ready()
        (event,) = running.forwarded(1)
        assert event.send_id is not None
    finally:
        running.kill()
