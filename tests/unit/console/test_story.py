"""Did this person get it, and if not, why? Every way it can have gone has its line."""

from __future__ import annotations

from typing import Any

import pytest

from services.console.orders import Standing, standing_of
from services.console.story import Known, read_known, story, verdict
from shared.programme.rule_language import parse_rule
from shared.wire.programme import SendDecision
from tests.unit.console.programme import HALTED, NOW, decided, ordered, table

AT = "2026-05-07T19:41:07+00:00"
LATER = "2026-05-07T19:41:09+00:00"
RULE = parse_rule("clicked: volunteer-ask")


def sent(decision: SendDecision | None = None, **order: Any) -> Standing:
    programme = table()
    programme.orders["ask"] = ordered(**order)
    if decision is not None:
        programme.decisions["ask"] = decision
    return standing_of(programme, "ask", NOW)


def known(
    *,
    member: bool = True,
    standing: str = "mailable",
    frozen: dict[str, Any] | None = None,
    outcome: dict[str, Any] | None = None,
    found: bool = True,
    **times: str,
) -> Known:
    profile = {"standing": standing, f"{standing}_at": AT} if found else None
    explained: dict[str, Any] = {
        "supporter": {"found": found, "reasons": [], "profile": profile},
        "segment": {
            "name": "clickers", "holds": member,
            "tree": [{"text": "clicked", "holds": member, "fact": "not clicked", "depth": 0}],
        },
        "frozen": frozen and {"variant": "a", "edition": "W1", "frozen_at": AT} | frozen,
        "delivery": times,
    }  # fmt: skip
    outcomes = (
        {"outcomes": [{"attempted_at": AT, "updated_at": AT, "settled": True} | outcome]}
        if outcome
        else {}
    )
    return read_known(explained, outcomes, RULE)


RUNNING = sent(decided("released"))
FINISHED = sent(decided("finished"))


@pytest.mark.parametrize(
    ("it", "standing", "said"),
    [
        (
            known(outcome={"state": "accepted"}, accepted_at=AT, delivered_at=LATER),
            FINISHED,
            "Yes: SES accepted it at 2026-05-07 19:41:07 UTC; delivered 2026-05-07 19:41:09 UTC",
        ),
        (known(outcome={"state": "accepted"}), FINISHED, "no word of its delivery yet"),
        (known(outcome={"state": "accepted"}, bounced_at=LATER), FINISHED, "No: SES accepted it"),
        (
            known(outcome={"state": "unconfirmed", "settled": False, "settle_after_at": LATER}),
            RUNNING,
            "In doubt: handed to SES at 2026-05-07 19:41:07 UTC without an answer",
        ),
        (
            known(outcome={"state": "unconfirmed", "reason": "timeout"}),
            FINISHED,
            "In doubt: handed to SES at 2026-05-07 19:41:07 UTC, and SES never said more (timeout)",
        ),
        (known(outcome={"state": "attempting"}), RUNNING, "In doubt: it is being handed"),
        (known(outcome={"state": "ready"}), RUNNING, "Not yet: it waits in the sender"),
        (
            known(outcome={"state": "capped", "reason": "same inbox"}),
            FINISHED,
            "No: held back: the same inbox gets it already, under another name",
        ),
        (
            known(outcome={"state": "suppressed", "reason": "complained"}),
            FINISHED,
            "No: withheld, since they withdrew after the audience was frozen: complained",
        ),
        (
            known(outcome={"state": "expired", "reason": "its deadline came first"}),
            FINISHED,
            "No: its deadline came first, at 2026-05-07 19:41:07 UTC",
        ),
        (
            known(frozen={"state": None, "released": False}),
            RUNNING,
            "its wave has not been released yet",
        ),
        (known(frozen={"state": None, "released": True}), RUNNING, "Not yet: released"),
        (
            known(frozen={"state": "excluded", "reason": "has acted since", "released": False}),
            FINISHED,
            "No: left out, since they no longer belonged: has acted since",
        ),
        (known(member=False), FINISHED, "No: outside the segment: has not clicked volunteer-ask"),
        (
            known(standing="unsubscribed"),
            FINISHED,
            "No: unsubscribed at 2026-05-07 19:41:07 UTC",
        ),
        (
            known(member=False, standing="unsubscribed"),
            FINISHED,
            "No: outside the segment: has not clicked volunteer-ask; and unsubscribed at",
        ),
        (known(), FINISHED, "No: they were not in the audience when it was frozen"),
        (known(), sent(decided("empty")), "No: nobody was in its audience"),
        (known(found=False), FINISHED, "No: Doorstep does not know this supporter"),
        (known(), sent(due=60), "scheduled, due 2026-05-07 19:41:00 UTC; they would get it"),
        (known(member=False), sent(due=60), "they would not get it as things stand: outside"),
    ],
)  # fmt: skip
def test_the_first_thing_that_decides_makes_the_verdict(
    it: Known, standing: Standing, said: str
) -> None:
    assert said in str(verdict(it, standing))


def test_what_holds_a_message_up_is_said() -> None:
    paused = sent(decided("released"), paused=True)
    waiting = known(outcome={"state": "ready"})
    assert "the send is paused" in str(verdict(waiting, paused))
    programme = table()
    programme.orders["ask"], programme.halt = ordered(), HALTED
    programme.decisions["ask"] = decided("released")
    assert "everything is halted" in str(verdict(waiting, standing_of(programme, "ask", NOW)))


def test_a_send_that_goes_on_means_only_those_who_enter() -> None:
    said = str(verdict(known(), RUNNING, goes_on=True))
    assert said == "No: they are in the segment, and did not enter it while the send was open"


def test_a_draft_is_called_one() -> None:
    draft = standing_of(table(), "ask", NOW)
    assert str(verdict(known(), draft)) == (
        "Not yet: the send is a draft; they would get it as things stand"
    )


def test_the_story_is_told_in_the_order_of_time() -> None:
    it = known(
        frozen={"state": "accepted"},
        outcome={"state": "accepted", "attempt": 2},
        clicked_at="2026-05-07T20:00:00+00:00",
        delivered_at=LATER,
    )
    told = [what for _, what in story(it, FINISHED)]
    assert told == [
        "the send was due",
        "in the frozen audience: variant a, edition W1",
        "handed to SES (call 2)",
        "accepted by SES",
        "delivered: their mail server took it",
        "clicked",
    ]


def test_without_the_sender_the_frozen_set_must_do() -> None:
    it = known(frozen={"state": "accepted", "released": True})
    assert str(verdict(it, FINISHED)).startswith("Yes: SES accepted it")
