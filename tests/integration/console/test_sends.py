"""Sends: launching, ordering, and what is said of them."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.console.programme_topic import halt_record, send_order_record
from shared.log.topics import PROGRAMME
from shared.wire.cloudevents import encode
from shared.wire.programme import HaltOrder, SendDecision, SendOrder
from tests.integration.console.programme_files import FILES, write_programme
from tests.integration.console.stage import Service, Stage, until

COUNTED = {"matching": 1_400, "mailable": 1_234, "left_out": {"no_consent": 166}, "unplaced": 2}
BOOKS = {
    "decision": None, "frozen": 10, "open": 3, "in_doubt": 1, "unreleased": 2,
    "states": {"accepted": 6}, "by_edition": {},
    "by_variant": {"only": {"frozen": 10, "states": {"accepted": 6, "open": 3, "in_doubt": 1},
                            "delivered": 5, "clicked": 2}},
}  # fmt: skip


@pytest.fixture
def applied(stage: Stage, tmp_path: Path) -> Stage:
    stage.said("apply", str(write_programme(tmp_path / "p")), "--yes")
    return stage


@pytest.fixture
def segmenter(applied: Stage) -> Service:
    return applied.service("segmenter", count=COUNTED, books=BOOKS)


@pytest.fixture
def renderer(applied: Stage) -> Service:
    return applied.service("renderer", trial={"faults": []})


def order(stage: Stage, name: str = "ask") -> SendOrder:
    [found] = [
        it.data for stored, it in stage.records(PROGRAMME)
        if stored.key == f"order/send/{name}".encode()
    ]  # fmt: skip
    assert isinstance(found, SendOrder)
    return found


def launched_now() -> SendOrder:
    now = datetime.now(UTC)
    return SendOrder(
        send_id="ask", definition_version="v", due_at=now, ordered_at=now, ordered_by="mo"
    )


def decide(stage: Stage, state: str, **more: Any) -> None:
    decision = SendDecision.model_validate(
        {"send_id": "ask", "occurrence": 0, "state": state, "decided_at": datetime.now(UTC)} | more
    )
    record = encode(
        decision, id=f"d-{state}", source="segmenter", subject="ask", time=decision.decided_at,
        topic=PROGRAMME, partition=0, key="decision/send/ask/0",
    )  # fmt: skip
    stage.append(record)


def test_a_launch_pins_what_was_approved_with_the_count(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    said = applied.said("send", "launch", "ask", "--count", "1234")
    assert "1,234 of segment members (1,400 match; left out: 166 no consent)" in said
    launched = order(applied)
    assert launched.approved_count == 1_234
    assert launched.due_at == launched.ordered_at
    assert set(launched.pinned) == {
        "send/ask", "segment/members", "template/letter", "campaign/forth",
    }  # fmt: skip
    assert launched.pinned["send/ask"] == launched.definition_version
    assert launched.ordered_by
    assert segmenter.asked[-1][1] == {
        "rule": {"op": "tag", "tag": "member"}, "topic": "campaign", "send": "ask",
    }  # fmt: skip
    assert renderer.asked == [("trial", {"send": "ask"})]


def test_nothing_is_launched_on_another_count_or_unasked(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    assert "--count says 1,233, and 1,234" in applied.refused(
        "send", "launch", "ask", "--count", "1233"
    )
    assert "--count 1234, or --yes" in applied.refused("send", "launch", "ask")
    assert applied.json("send", "list")[0]["state"] == "draft"


def test_a_fault_in_a_template_stops_the_launch_before_the_audience(
    applied: Stage, segmenter: Service
) -> None:
    applied.service("renderer", trial={"faults": ["variant only: no {{ disclaimer }} there"]})
    said = applied.refused("send", "launch", "ask", "--yes")
    assert "the trial render found 1 fault" in said
    assert "no {{ disclaimer }} there" in said
    assert applied.json("send", "list")[0]["order"] is None


def test_without_a_renderer_nothing_is_launched(applied: Stage, segmenter: Service) -> None:
    said = applied.refused("send", "launch", "ask", "--yes", code=75)
    assert "the renderer does not answer" in said
    assert "doorstep up" in said


def test_nobody_is_no_audience(applied: Stage, renderer: Service) -> None:
    empty = {"matching": 3, "mailable": 0, "left_out": {"no_consent": 3}, "unplaced": 0}
    applied.service("segmenter", count=empty)
    assert "nobody would get it" in applied.refused("send", "launch", "ask", "--yes")


def test_a_past_deadline_is_refused_without_asking_anybody(stage: Stage, tmp_path: Path) -> None:
    late = FILES["sends/ask.yaml"] + 'deadline: "2020-05-07 21:30 Europe/London"\n'
    stage.said("apply", str(write_programme(tmp_path / "p", {"sends/ask.yaml": late})), "--yes")
    assert "is past" in stage.refused("send", "launch", "ask", "--yes")


def test_a_send_is_launched_once(applied: Stage, segmenter: Service, renderer: Service) -> None:
    applied.said("send", "launch", "ask", "--yes")
    assert "under way already" in applied.refused("send", "launch", "ask", "--yes")
    decide(applied, "finished")
    assert "under a new name" in applied.refused("send", "launch", "ask", "--yes")


def test_a_held_send_goes_when_its_frozen_size_is_approved(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    applied.said("send", "launch", "ask", "--yes")
    before = order(applied)
    decide(applied, "held", frozen=2_000, reason="the audience is 2000 now, 1234 were approved")
    assert "--count says 1,234, and 2,000" in applied.refused(
        "send", "launch", "ask", "--count", "1234"
    )
    applied.said("send", "launch", "ask", "--count", "2000")
    after = order(applied)
    assert after.approved_count == 2_000
    assert (after.pinned, after.due_at) == (before.pinned, before.due_at)
    assert after.ordered_at > before.ordered_at


def test_what_was_approved_outlives_a_later_change(
    applied: Stage, segmenter: Service, renderer: Service, tmp_path: Path
) -> None:
    applied.said("send", "launch", "ask", "--yes")
    mended = {"templates/letter/template.yaml": "subject: Good day\n"}
    said = applied.said("apply", str(write_programme(tmp_path / "p", mended)), "--yes")
    assert "~ changed" in said
    version = order(applied).pinned["template/letter"]
    keys = [stored.key for stored, _ in applied.records(PROGRAMME)]
    assert f"definition/template/letter@{version}".encode() in keys


def test_a_schedule_takes_the_campaigns_zone_and_refuses_the_past(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    said = applied.refused("send", "schedule", "ask", "--at", "2020-05-07 18:30", "--yes")
    assert "2020-05-07 18:30:00 BST is past" in said
    summer = datetime(datetime.now(UTC).year + 1, 7, 1, 18, 30, tzinfo=UTC)
    applied.said("send", "schedule", "ask", "--at", f"{summer:%Y-%m-%d %H:%M}", "--yes")
    assert order(applied).due_at == summer - timedelta(hours=1), "British Summer Time"
    assert applied.json("send", "list")[0]["state"] == "scheduled"
    applied.said("send", "cancel", "ask", "--yes")
    assert applied.json("send", "list")[0]["state"] == "cancelled"


def test_pause_and_resume_are_orders_that_keep_everything_else(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    applied.said("send", "launch", "ask", "--yes")
    launched = order(applied)
    decide(applied, "released", frozen=10)
    assert "is paused" in applied.said("send", "pause", "ask")
    assert order(applied).pinned == launched.pinned
    assert "nothing was ordered" in applied.said("send", "pause", "ask")
    assert "goes on" in applied.said("send", "resume", "ask")
    assert not order(applied).paused


def test_cancelling_asks_first_but_not_about_what_does_not_exist(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    assert 'did you mean "ask"' in applied.refused("send", "cancel", "aks")
    applied.said("send", "launch", "ask", "--yes")
    assert "say --yes" in applied.refused("send", "cancel", "ask")
    assert not order(applied).cancelled


def test_settling_says_how_many_are_in_doubt_and_what_it_may_cost(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    applied.said("send", "launch", "ask", "--yes")
    books = {"states": {"in doubt": 2, "unconfirmed": 1}, "held": None}
    sender = applied.service("sender", books=books)
    assert "--leave" in applied.refused("send", "settle", "ask")
    assert "say --yes" in applied.refused("send", "settle", "ask", "--resend")
    said = applied.said("send", "settle", "ask", "--resend", "--yes")
    assert "ask: 3 messages in doubt" in said
    assert order(applied).settle == "resend"
    sender.answers["books"] = {"states": {"accepted": 3}, "held": None}
    assert "nothing of ask is in doubt" in applied.refused("send", "settle", "ask", "--leave")


def test_the_status_shows_the_books_to_the_last_person(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    sender = applied.service("sender", books={"states": {}, "held": "too many bounces"})
    applied.said("send", "launch", "ask", "--yes")
    decide(applied, "released", frozen=10)
    said = applied.said("send", "status", "ask")
    assert "10 = 6 accepted + 1 in doubt + 1 on their way + 2 not released" in said
    assert "The sender holds it back: too many bounces" in said
    assert "doorstep send resume ask" in said
    found = applied.json("send", "status", "ask")
    assert found["books"]["states"] == {"accepted": 6}
    assert found["held_by_sender"] == "too many bounces"

    sender.answers["books"] = {
        "states": {}, "held": "restored", "holds_all": True,
        "account_stopped": "the daily quota is used up", "account_remarks": ["under review"],
    }  # fmt: skip
    said = applied.said("send", "status", "ask")
    assert "send resume" not in said, "that would not help"
    assert "No mail goes now: the daily quota is used up" in said
    assert "under review" in said
    assert applied.json("send", "status", "ask")["account_stopped"] == "the daily quota is used up"


def test_watching_ends_with_the_send(applied: Stage, segmenter: Service, renderer: Service) -> None:
    applied.said("send", "launch", "ask", "--yes")
    decide(applied, "finished", frozen=10)
    assert "finished" in applied.said("send", "status", "ask", "--watch")


def test_a_halt_stops_everything_and_lifting_it_releases_nothing(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    applied.said("send", "launch", "ask", "--yes")
    decide(applied, "released", frozen=10)
    assert "Everything is halted" in applied.said("halt", "--reason", "wrong venue")
    assert "halted already" in applied.said("halt")
    assert "wrong venue" in applied.doorstep("status").output
    assert "halt --lift" in applied.refused("send", "resume", "ask")
    said = applied.said("halt", "--lift")
    assert "doorstep send resume ask" in said
    records = applied.records(PROGRAMME)
    paused, lifted = sorted(
        (
            (stored.offset, it.data)
            for stored, it in records
            if (stored.key or b"")[:6] == b"order/"
        ),
        key=lambda each: each[0],
    )
    assert isinstance(paused[1], SendOrder)
    assert paused[1].paused, "the pause stands on the log before the end of the halt"
    assert isinstance(lifted[1], HaltOrder)
    assert not lifted[1].halted
    assert "nothing to lift" in applied.refused("halt", "--lift")


def test_an_order_is_not_given_over_one_that_came_in_between(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    """While one person looks at the count, another one halts everything."""

    def slow(_: dict[str, Any]) -> dict[str, Any]:
        halt = HaltOrder(halted=True, ordered_at=datetime.now(UTC), ordered_by="jo")
        applied.append(halt_record(halt))
        return {"faults": []}

    renderer.answers["trial"] = slow
    said = applied.refused("send", "launch", "ask", "--yes")
    assert "everything was halted while you were looking" in said


def test_the_count_is_typed_at_a_terminal(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    environment = os.environ | {k: v for k, v in applied.environment.items() if v is not None}
    ours, theirs = pty.openpty()
    words = ["--home", str(applied.home), "send", "launch", "ask"]
    process = subprocess.Popen(
        [sys.executable, "-m", "services.console", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    os.close(theirs)
    said = _read_until(ours, "Type 1,234 to launch it:")
    os.write(ours, b"1,234\n")
    said += _read_until(ours, "is on its way")
    assert process.wait(timeout=30) == 0
    os.close(ours)
    assert order(applied).approved_count == 1_234


def _read_until(descriptor: int, wanted: str) -> str:
    said = ""

    def arrived() -> bool:
        nonlocal said
        if select.select([descriptor], [], [], 0.05)[0]:
            said += os.read(descriptor, 65_536).decode("utf-8", "replace")
        return wanted in said

    until(arrived, wanted)
    return said


def test_a_newly_qualifies_send_counts_nobody_now(stage: Stage, tmp_path: Path) -> None:
    goes_on = FILES["sends/ask.yaml"] + "mode: newly_qualifies\n"
    stage.said("apply", str(write_programme(tmp_path / "p", {"sends/ask.yaml": goes_on})), "--yes")
    stage.service("segmenter", count=COUNTED | {"mailable": 0, "matching": 0})
    stage.service("renderer", trial={"faults": []})
    said = stage.said("send", "launch", "ask", "--yes")
    assert "whoever enters segment members from now on" in said
    assert order(stage).approved_count is None


def test_a_newly_qualifies_send_is_as_large_as_the_segmenter_says(
    stage: Stage, tmp_path: Path
) -> None:
    goes_on = FILES["sends/ask.yaml"] + "mode: newly_qualifies\n"
    stage.said("apply", str(write_programme(tmp_path / "p", {"sends/ask.yaml": goes_on})), "--yes")
    assert stage.json("send", "list")[0]["audience"] is None
    stage.append(send_order_record(launched_now()))
    decide(stage, "released", frozen=0)
    [unknown] = json.loads(stage.doorstep("send", "list", "--json").stdout)
    assert unknown["audience"] is None, "the log alone does not know it"
    assert "the segmenter does not answer" in stage.said("send", "list")
    segmenter = stage.service("segmenter", books=BOOKS)
    assert stage.json("send", "list")[0]["audience"] == 10
    assert segmenter.asked == [("books", {"send": "ask"})]
    assert "whoever enters its segment from now on" in stage.said("send", "status", "ask")
    segmenter.answers["books"] = BOOKS | {"frozen": 0}
    assert "Nobody has entered its segment" in stage.said("send", "status", "ask")


def test_a_retry_says_what_failed_and_asks_before_it_is_sent_again(
    applied: Stage, segmenter: Service, renderer: Service
) -> None:
    failed = [
        {"reason": "MessageRejected: bad", "retriable": True, "number": 25},
        {"reason": "area.venue is missing", "retriable": False, "number": 3},
    ]
    sender = applied.service("sender", failed={"failed": failed})
    assert "has not been launched" in applied.refused("send", "retry", "ask")
    applied.said("send", "launch", "ask", "--yes")
    assert "say --yes" in applied.refused("send", "retry", "ask")
    assert not order(applied).retry
    said = applied.said("send", "retry", "ask", "--yes")
    assert "MessageRejected: bad" in said
    assert "ask: 25 messages that SES refused go out again" in said
    assert order(applied).retry
    applied.said("send", "pause", "ask")
    assert not order(applied).retry, "an order to retry is for once"
    sender.answers["failed"] = {"failed": failed[1:]}
    assert "nothing to send again" in applied.refused("send", "retry", "ask", "--yes")
