"""What is looked at: why, segments, events, dead letters, status."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.console.programme_topic import send_order_record
from shared.clock import to_ms
from shared.ids import address_key
from shared.log.record import Record, Stored
from shared.log.topics import EVENTS, PROGRAMME
from shared.loop.delivery import dead_letter
from shared.settings import read_settings
from shared.wire.cloudevents import Malformed, encode
from shared.wire.events import Event, EventKind
from shared.wire.programme import SendDecision, SendOrder
from tests.integration.console.programme_files import write_programme
from tests.integration.console.stage import SERVICES, Stage

AT = datetime(2026, 5, 7, 19, 41, 7, tzinfo=UTC)
ID = "7e0c6a5e-0000-8000-8000-00000000000a"
EXPLAINED = {
    "supporter": {
        "found": True, "mailable": True, "reasons": [], "profile": {"standing": "mailable"},
    },
    "segment": {
        "name": "members", "holds": False,
        "tree": [
            {"text": "tag: member", "holds": False, "fact": "does not carry the tag", "depth": 0}
        ],
    },
    "frozen": None, "delivery": None,
}  # fmt: skip


@pytest.fixture
def applied(stage: Stage, tmp_path: Path) -> Stage:
    stage.said("apply", str(write_programme(tmp_path / "p")), "--yes")
    return stage


def finish(stage: Stage) -> None:
    """The send `ask` was launched and is over."""
    order = SendOrder(
        send_id="ask", definition_version="v", due_at=AT, ordered_at=AT, ordered_by="mo"
    )
    decision = SendDecision(send_id="ask", occurrence=0, state="finished", frozen=10, decided_at=AT)
    made = encode(
        decision, id="d", source="segmenter", subject="ask", time=AT, topic=PROGRAMME, partition=0,
        key="decision/send/ask/0",
    )  # fmt: skip
    stage.append(send_order_record(order), made)


def event(kind: EventKind, seconds: int = 0, **more: Any) -> Record:
    at = AT + timedelta(seconds=seconds)
    data = Event(kind=kind, supporter_id=ID, at=at, **more)
    return encode(
        data, id=f"{kind}-{seconds}", source="sender", subject=ID, time=at, topic=EVENTS,
        partition=seconds % 24, key=ID, type_name=f"doorstep.{kind}",
    )  # fmt: skip


def test_why_says_in_one_line_why_not(applied: Stage) -> None:
    finish(applied)
    segmenter = applied.service("segmenter", explain=EXPLAINED)
    sender = applied.service("sender", outcome={"outcomes": []})
    said = applied.said("why", "ask", ID)
    assert said.startswith("No: outside the segment: not tagged member\n")
    assert "✗ not tagged member" in said
    assert segmenter.asked == [("explain", {"send": "ask", "supporter": ID})]
    assert sender.asked == [("outcome", {"send": "ask", "supporter": ID})]


def test_why_finds_people_by_address_and_by_external_id(applied: Stage) -> None:
    finish(applied)
    known = {"supporter_id": ID, "fields": {}}
    segmenter = applied.service("segmenter", explain=EXPLAINED, known={"people": [known]})
    applied.service("sender", outcome={"outcomes": []})
    applied.said("why", "ask", "crm:18:74")
    applied.said("why", "ask", " Ann@Example.org ")
    asked = [question["people"][0] for path, question in segmenter.asked if path == "known"]
    secret = read_settings(
        {}, home=applied.home, secret_file=applied.home / "secret"
    ).identity_secret()
    key = address_key("ann@example.org", secret)
    assert asked == [
        {"source": "crm", "external_id": "18:74", "address_key": None},
        {"source": None, "external_id": None, "address_key": key},
    ]  # fmt: skip
    assert "ann@example.org" not in json.dumps(segmenter.asked), "no address in any question"


def test_why_about_nobody_says_how_to_name_somebody(applied: Stage) -> None:
    applied.service("segmenter", known={"people": [None]})
    assert "SOURCE:EXTERNAL_ID" in applied.refused("why", "ask", "ann")
    assert "nobody is known by this address" in applied.refused("why", "ask", "a@example.org")


def test_why_does_without_the_sender_and_says_so(applied: Stage) -> None:
    finish(applied)
    applied.service("segmenter", explain=EXPLAINED)
    said = applied.said("why", "ask", ID)
    assert "the sender does not answer" in said
    assert "No: outside the segment" in said


def test_why_in_json_has_verdict_and_evidence(applied: Stage) -> None:
    finish(applied)
    applied.service("segmenter", explain=EXPLAINED)
    outcome = {"state": "accepted", "updated_at": AT.isoformat(), "settled": True}
    applied.service("sender", outcome={"outcomes": [outcome]})
    found = applied.json("why", "ask", ID)
    assert (found["verdict"], found["outcome"]["state"]) == ("Yes", "accepted")
    assert found["sentence"].startswith("Yes: SES accepted it at 2026-05-07 20:41:07 BST")


def test_segments_are_listed_with_who_may_be_mailed(applied: Stage) -> None:
    counted = {"matching": 12, "mailable": 9, "left_out": {"bounced": 3}, "unplaced": 0}
    listed = [{"name": "members", "version": "v", "description": "Joined", "members": 12}]
    segmenter = applied.service("segmenter", segments={"segments": listed}, count=counted)
    assert applied.json("segment", "list") == [listed[0] | {"mailable": 9}]
    assert "members" in applied.said("segment", "list", "mem*")
    assert "no such segments" in applied.said("segment", "list", "x*")
    asked = len(segmenter.asked)
    applied.said("segment", "list", "--quick")
    assert [path for path, _ in segmenter.asked[asked:]] == ["segments"]


def test_a_count_says_why_the_others_may_not_be_mailed(applied: Stage) -> None:
    left_out = {"bounced": 200, "suppressed": 100}
    counted = {"matching": 1_200, "mailable": 900, "left_out": left_out, "unplaced": 0}
    segmenter = applied.service("segmenter", count=counted)
    said = applied.said("segment", "count", "members")
    for part in (
        "1,200",
        "- bounced",
        "-200",
        "17%",
        "their present address",
        "900",
        "75%",
        "their inbox is suppressed",
        "of them unplaced",
    ):
        assert part in said
    applied.said("segment", "count", "--rule", "did: volunteered", "--send", "ask")
    question = segmenter.asked[-1][1]
    assert question["rule"]["op"] == "did"
    assert question["send"] == "ask"
    assert 'did you mean "members"' in applied.refused("segment", "count", "member")
    assert "one of a segment's name and --rule" in applied.refused("segment", "count")


def test_what_the_segmenter_refuses_is_said_in_its_words(applied: Stage) -> None:
    applied.service("segmenter", count={"error": "too many conditions in one rule"})
    said = applied.refused("segment", "count", "members")
    assert "the segmenter cannot answer that: too many conditions in one rule" in said


def test_the_newest_events_come_last_whatever_their_partition(applied: Stage) -> None:
    applied.append(*(event("accepted", n, send_id="ask") for n in (3, 1, 2)), event("clicked", 9))
    lines = applied.said("events", "tail", "--send", "ask", "--limit", "2").splitlines()
    assert [line[17:19] for line in lines] == ["09", "10"]
    found = applied.doorstep("events", "tail", "--kind", "clicked", "--json").stdout
    assert json.loads(found)["ce_id"] == "clicked-9"
    assert 'did you mean "clicked"' in applied.refused("events", "tail", "--kind", "cliked")


def test_a_send_whose_name_is_part_of_another_is_told_apart(applied: Stage) -> None:
    applied.append(event("accepted", 1, send_id="ask-again"), event("accepted", 2, send_id="ask"))
    assert len(applied.said("events", "tail", "--send", "ask").splitlines()) == 1


def test_dead_letters_say_where_and_why_and_never_what(applied: Stage) -> None:
    assert "no dead letters" in applied.said("dead-letters", "list")
    bad = Stored("events", 3, 1204, b"k", b"ann@example.org", (), to_ms(AT))
    error = Malformed("events[3]@1204: no value")
    applied.append(dead_letter(bad, error, "segmenter", AT))
    said = applied.said("dead-letters", "list")
    for part in ("events[3]@1204", "segmenter", "Malformed", "no value", "1 dead letter"):
        assert part in said
    everything = said + json.dumps(applied.json("dead-letters", "list"))
    assert "ann@example.org" not in everything
    assert "YW5uQGV4" not in everything, "nor in base64"


def test_the_status_is_one_glance_and_an_exit_code(applied: Stage) -> None:
    finish(applied)
    result = applied.doorstep("status")
    assert result.exit_code == 75
    assert result.stdout.count("down") == len(SERVICES)
    for name in SERVICES:
        applied.service(name).metrics.partitions_owned.set(24)
    applied.services[2].metrics.ready.set(1_500)
    applied.services[2].metrics.dead_letters.labels("messages").inc(7)  # made since it started
    applied.environment["COLUMNS"] = "80"
    result = applied.doorstep("status")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("ready") == len(SERVICES)
    assert "1,500 wait for dispatch" in result.stdout
    applied.services[0].ready = False
    found = json.loads(applied.doorstep("status", "--json").stdout)
    assert found["services"]["segmenter"]["health"] == "starting"
    assert found["sends"] == {"ask": "finished"}


def test_an_answer_of_another_program_is_named_as_such(applied: Stage) -> None:
    applied.service("segmenter")
    said = applied.refused("segment", "count", "members", code=1)
    assert "does not know /ask/count" in said


def test_a_command_in_a_folder_without_a_home_says_what_to_do(stage: Stage) -> None:
    for words in (("status",), ("send", "list"), ("events", "tail"), ("halt",)):
        assert "Start it once with `doorstep up`" in stage.refused(*words)
    assert not stage.home.exists()


def test_a_misspelt_setting_is_named(applied: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORSTEP_SENDER__RAET", "5")
    assert "DOORSTEP_SENDER__RAET: there is no such setting" in applied.refused("send", "list")


def counted(people: int, partitions: range) -> dict[str, Any]:
    whole = {"matching": people, "mailable": people, "left_out": {}, "unplaced": 0}
    return whole | {"partitions": list(partitions)}


def test_the_answers_of_several_segmenters_add_up(applied: Stage) -> None:
    applied.service("segmenter", count=counted(3, range(12)))
    applied.second("segmenter", count=counted(4, range(12, 24)))
    found = applied.json("segment", "count", "members")
    assert (found["matching"], found["missing_partitions"]) == (7, [])
    assert found["partitions"] == list(range(24))


def test_people_whom_nobody_speaks_for_are_told_of_and_nothing_is_launched_without_them(
    applied: Stage,
) -> None:
    applied.service("segmenter", count=counted(3, range(12)))
    applied.second("segmenter", count=counted(4, range(12, 24))).stop()
    result = applied.doorstep("segment", "count", "members", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["missing_partitions"] == list(range(12, 24))
    assert "no segmenter speaks for partitions 12, 13" in result.stderr
    assert "the segmenter-2 does not answer" in result.stderr
    said = applied.refused("send", "launch", "ask", "--yes", code=75)
    assert "this needs all of them" in said


def test_why_asks_the_segmenter_that_owns_the_supporter(applied: Stage) -> None:
    finish(applied)
    others = {"error": "another instance owns this supporter", "status": 421}
    applied.service("segmenter", explain=lambda _: dict(others))
    applied.second("segmenter", explain=EXPLAINED)
    applied.service("sender", outcome={"outcomes": []})
    assert applied.said("why", "ask", ID).startswith("No: outside the segment")


def test_the_status_shows_every_instance(applied: Stage) -> None:
    for name in SERVICES:
        applied.service(name).metrics.partitions_owned.set(24)
    applied.services[2].metrics.partitions_owned.set(12)
    second = applied.second("sender")
    second.metrics.partitions_owned.set(11)
    result = applied.doorstep("status")
    assert result.exit_code == 0, result.output
    assert "sender-2" in result.stdout
    assert "the sender owns 23 of 24 partitions" in result.stderr
    second.stop()
    result = applied.doorstep("status", "--json")
    assert result.exit_code == 75
    found = json.loads(result.stdout)["services"]["sender-2"]
    assert (found["service"], found["health"]) == ("sender", "down")
