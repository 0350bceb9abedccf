"""`doorstep send forecast`: what waits, in its order, and whether the deadlines hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.console.programme_topic import send_order_record
from shared.log.topics import PROGRAMME
from shared.wire.cloudevents import encode
from shared.wire.programme import SendDecision, SendOrder
from tests.integration.console.programme_files import FILES, write_programme
from tests.integration.console.stage import Stage

BOOKS = {
    "decision": None, "frozen": 10_000, "open": 9_000, "in_doubt": 0, "unreleased": 8_000,
    "states": {"accepted": 1_000}, "by_edition": {}, "by_variant": {},
}  # fmt: skip
ACCOUNT: dict[str, Any] = {
    "known_at": "2026-05-07T19:00:00+00:00",
    "said": {"daily_quota": 50_000.0, "sent_last_day": 1_000.0, "rate": 10.0},
    "permitted_rate": 9.0, "quota_left": 49_000.0, "stopped": None, "remarks": [],
}  # fmt: skip
COUNTED = {"matching": 900, "mailable": 900, "left_out": {}, "unplaced": 0}


@pytest.fixture
def applied(stage: Stage, tmp_path: Path) -> Stage:
    soon = datetime.now(UTC) + timedelta(minutes=10)
    ask = FILES["sends/ask.yaml"]
    files = {
        "sends/ask.yaml": f"{ask}deadline: {soon:%Y-%m-%d %H:%M} UTC\n",
        "sends/later.yaml": ask,
        "sends/draft.yaml": ask,
        "sends/stopped.yaml": ask,
    }
    stage.said("apply", str(write_programme(tmp_path / "p", files)), "--yes")
    stage.service("segmenter", books=BOOKS, count=COUNTED)
    stage.service("sender", account=ACCOUNT, books={"states": {}, "held": None})
    return stage


def launched(stage: Stage, name: str, *, minutes: int = 0, **more: Any) -> None:
    """Ordered, and, when it is due, released."""
    now = datetime.now(UTC)
    order = SendOrder(
        send_id=name, definition_version="v", due_at=now + timedelta(minutes=minutes),
        ordered_at=now, ordered_by="mo", approved_count=4_500, **more,
    )  # fmt: skip
    stage.append(send_order_record(order))
    if minutes <= 0:
        decision = SendDecision(send_id=name, occurrence=0, state="released", decided_at=now)
        key = f"decision/send/{name}/0"
        stage.append(
            encode(decision, id=key, source="segmenter", subject=name, time=now, topic=PROGRAMME,
                   partition=0, key=key)
        )  # fmt: skip


def test_what_waits_is_told_in_order_with_what_would_make_it_hold(applied: Stage) -> None:
    launched(applied, "ask")
    launched(applied, "later", minutes=5)
    launched(applied, "stopped", paused=True)

    found = applied.json("send", "forecast")

    assert [each["name"] for each in found["sends"]] == ["ask", "later"]
    ask, later = found["sends"]
    assert ask["people"] == 9_000
    assert ask["late"] == pytest.approx(9_000 - 9 * 560, abs=700), "ten minutes less the margin"
    assert not ask["holds"]
    assert later["people"] == 4_500, "as approved"
    assert later["holds"]
    assert found["waiting"] == {"stopped": "paused"}
    said = applied.said("send", "forecast")
    assert "9 a second, 49,000 left of 50,000 in 24 hours" in said
    assert "would expire" in said
    assert "ask would hold with one of:" in said
    assert "a rate of " in said
    assert "a deadline of " in said
    assert "stopped waits for somebody and is not in this: paused" in said


def test_a_draft_is_forecast_as_if_it_were_launched_now(applied: Stage) -> None:
    launched(applied, "later")
    [draft] = applied.json("send", "forecast", "draft")["sends"]
    assert draft["people"] == 900
    begins, ends = (datetime.fromisoformat(draft[at]) for at in ("begins", "ends"))
    assert timedelta(seconds=90) < ends - begins < timedelta(seconds=110)
    assert "takes 1 min 40 s" in applied.said("send", "forecast", "draft")


def test_what_stands_in_the_way_is_said(applied: Stage) -> None:
    launched(applied, "later")
    stopped = ACCOUNT | {"stopped": "the daily quota is used up", "quota_left": 0.0}
    applied.services[1].answers["account"] = stopped
    said = applied.said("send", "forecast")
    assert "no mail goes now: the daily quota is used up" in said
    applied.services[1].answers["books"] = {"states": {}, "held": "too many bounced"}
    assert "held by the sender: too many bounced" in applied.said("send", "forecast")


def test_a_warm_up_spreads_a_send_over_days(applied: Stage, tmp_path: Path) -> None:
    today = datetime.now(ZoneInfo("Europe/London")).date()
    warm_up = f"warm_up:\n  example.org:\n    begins: {today}\n    days: [500, 1000, 2000]\n"
    files = {"campaign.yaml": FILES["campaign.yaml"] + warm_up}
    applied.said("apply", str(write_programme(tmp_path / "warming", files)), "--yes")
    launched(applied, "later")
    applied.services[1].answers["account"] = ACCOUNT | {"sent_of_warm_up": {"example.org": 400}}
    [later] = applied.json("send", "forecast")["sends"]
    ends = datetime.fromisoformat(later["ends"]).astimezone(ZoneInfo("Europe/London"))
    assert later["people"] == 9_000
    assert ends.date() == today + timedelta(days=3), "100 today, 1,000, 2,000, then the rest"


def test_nothing_waits(applied: Stage) -> None:
    assert "No send waits" in applied.said("send", "forecast")
    assert "there is no send" in applied.refused("send", "forecast", "nothing")


def test_without_the_sender_nobody_can_say(applied: Stage) -> None:
    applied.services[1].stop()
    assert "the sender does not answer" in applied.refused("send", "forecast", code=75)
