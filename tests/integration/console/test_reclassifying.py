"""The history judged anew: what is written, what is left alone, and that again changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.console import reclassifying
from services.console.reclassifying import Found, reclassify
from shared.classification.agents import FIRST, VERSION
from shared.log.embedded.body import EmbeddedLog
from shared.log.partitioner import partition_of
from shared.log.topics import EVENTS
from shared.programme.links import HIDDEN_LINK
from shared.wire.cloudevents import decode, encode
from shared.wire.events import Event, EventKind
from tests.integration.console.programme_files import write_programme
from tests.integration.console.stage import Stage

NOON = datetime(2026, 5, 7, 12, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/132.0.0.0 Safari/537.36"
)
PARTITIONS = 4


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    made = EmbeddedLog(tmp_path / "log.db", PARTITIONS)
    yield made
    made.close()


def happened(
    log: Any, kind: EventKind, who: str = "ada", seconds: float = 0, name: str = "", **said: Any
) -> str:
    """Its id."""
    if kind in ("opened", "clicked"):
        said = {
            "agent": "person", "agent_version": VERSION, "method": "GET", "user_agent": CHROME,
            **said,
        }  # fmt: skip
    at = NOON + timedelta(seconds=seconds)
    event = Event(kind=kind, supporter_id=who, at=at, **{"send_id": "ask", "variant": "a", **said})
    name = name or f"{who}-{kind}-{seconds}"
    record = encode(
        event, id=name, source="tracker", subject=who, time=at, topic=EVENTS,
        partition=partition_of(who, log.partitions), key=who, type_name=f"doorstep.{kind}",
    )  # fmt: skip
    log.append([record])
    return name


def judged(log: EmbeddedLog) -> list[Event]:
    follower = log.follow(EVENTS)
    found = [decode(stored).data for stored in follower.read()]
    follower.close()
    return [event for event in found if isinstance(event, Event) and event.kind == "judged"]


def again(
    log: EmbeddedLog,
    home: Path,
    version: int = VERSION,
    since: datetime | None = None,
    *,
    write: bool = True,
) -> Found:
    return reclassify(log, home, version, since, NOW, write=write)


def a_scan(log: EmbeddedLog, who: str = "ada") -> list[str]:
    """A scanner that looks like a browser, of whom only the hidden link was told."""
    happened(log, "delivered", who, 0)
    clicks = [happened(log, "clicked", who, 1 + n / 10, link=n) for n in range(2)]
    happened(log, "clicked", who, 2, link=HIDDEN_LINK, agent="scanner")
    return clicks


def test_what_the_signals_say_of_old_clicks_is_written_with_its_reasons(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    scanned = a_scan(log)
    happened(log, "delivered", "ben", 0)
    happened(log, "clicked", "ben", 3_600, link=0)
    found = again(log, tmp_path)
    assert (found.looked_at, found.messages, found.newer) == (4, 1, 0)
    assert found.changed == {("person", "scanner"): 2}
    first, second = judged(log)
    assert [first.hit, second.hit] == scanned
    assert (first.agent, first.agent_version, first.at) == ("scanner", VERSION, NOW)
    assert first.reasons == ("with_hidden_link", "soon_after_delivery", "many_links_at_once")
    assert (first.send_id, first.variant, first.supporter_id) == ("ask", "a", "ada")


def test_again_finds_nothing_and_half_a_run_is_made_whole_by_the_next(
    log: EmbeddedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        a_scan(log, f"person-{number}")
    monkeypatch.setattr(reclassifying, "AT_ONCE", 3)
    append, calls = log.append, 0

    def cut_off(records: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        append(records)

    with monkeypatch.context() as patched:
        patched.setattr(log, "append", cut_off)
        with pytest.raises(KeyboardInterrupt):
            again(log, tmp_path)
    assert len(judged(log)) == 3
    assert again(log, tmp_path).changed.total() == 7
    assert again(log, tmp_path).changed.total() == 0
    assert len({event.hit for event in judged(log)}) == len(judged(log)) == 10
    assert [path.name for path in tmp_path.glob("reclassify-*")] == []


def test_a_dry_run_says_it_and_writes_nothing(log: EmbeddedLog, tmp_path: Path) -> None:
    a_scan(log)
    assert again(log, tmp_path, write=False).changed.total() == 2
    assert judged(log) == []


def test_since_judges_later_hits_by_all_that_is_known_of_their_message(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    _, second = a_scan(log)
    found = again(log, tmp_path, since=NOON + timedelta(seconds=1.05))
    assert found.looked_at == 2
    assert [event.hit for event in judged(log)] == [second]


def test_the_words_of_an_older_version_are_judged_by_the_newer_ones(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    happened(log, "opened", user_agent="Zapier", agent="unknown", agent_version=FIRST)
    assert again(log, tmp_path, FIRST).changed.total() == 0
    assert again(log, tmp_path).changed == {("unknown", "scanner"): 1}
    (event,) = judged(log)
    assert event.reasons == ("names_itself",)


def test_what_a_newer_version_said_is_left_alone(log: EmbeddedLog, tmp_path: Path) -> None:
    first, second = a_scan(log)
    happened(log, "judged", hit=first, agent="person", agent_version=VERSION + 1, name="j1")
    happened(log, "judged", hit=second, agent="person", agent_version=FIRST, name="j2")
    found = again(log, tmp_path)
    assert found.newer == 1
    assert [event.hit for event in judged(log)[2:]] == [second]
    assert again(log, tmp_path, FIRST).newer == 3


def test_an_event_without_raw_facts_is_taken_at_its_word(log: EmbeddedLog, tmp_path: Path) -> None:
    happened(log, "opened", agent="proxy", method=None, user_agent=None)
    assert again(log, tmp_path).changed.total() == 0


def test_the_command_says_what_changed(stage: Stage, tmp_path: Path) -> None:
    stage.said("apply", str(write_programme(tmp_path / "p")), "--yes")
    with closing(EmbeddedLog(stage.home / "log.db", 24)) as log:
        a_scan(log)
    said = stage.said("events", "reclassify", "--dry-run")
    assert "person → scanner: 2 opens and clicks" in said
    assert "2 would be judged otherwise, in 1 message." in said
    told = json.loads(stage.doorstep("events", "reclassify", "--json").stdout)
    assert told["changed"] == [{"from": "person", "to": "scanner", "hits": 2}]
    assert told["written"]
    assert "0 judged otherwise" in stage.said("events", "reclassify")
    assert "no version 9 of the rules" in stage.refused("events", "reclassify", "--version", "9")
    assert "--since" in stage.refused("events", "reclassify", "--since", "yesterday")
