"""Sends: guards, exclusions, cancelling, halting, and what is decided for the whole."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import httpx

from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import DEAD_LETTERS, PROGRAMME
from shared.programme.definitions import Campaign, Disclaimer, WarmUp
from shared.programme.rules import AnyOf, Clicked, Opened, Rule
from shared.wire.batches import Recipient
from shared.wire.cloudevents import decode
from shared.wire.dead_letters import DeadLetter
from tests.integration.segmenter.town import (
    ASK,
    DOERS,
    NOW,
    PARTITIONS,
    THANKS,
    TOWN,
    Town,
    supporter,
)


def finished(town: Town, send: str) -> bool:
    made = town.decision(send)
    return made is not None and made.state in {"finished", "cancelled", "empty"}


def test_an_empty_audience_says_so_and_finishes(town: Town) -> None:
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.start()
    town.until(lambda: finished(town, "ask"), "the decision")
    made = town.decision("ask")
    assert made is not None
    assert (made.state, made.reason) == ("empty", "nobody is in the audience")


def test_a_size_that_moved_since_approval_is_held_until_it_is_approved(town: Town) -> None:
    town.people(100)
    town.apply(TOWN, ASK)
    town.order(ASK, approved_count=10)
    town.start()
    town.until(lambda: town.decision("ask") is not None, "the decision")
    made = town.decision("ask")
    assert made is not None
    assert made.state == "held"
    assert "the audience is 100 now, 10 were approved" in made.reason
    assert town.released() == []
    town.order(ASK, approved_count=100)
    town.until(lambda: len(town.released()) == 100, "the release")


def test_who_was_written_before_the_due_time_is_in_and_who_came_later_is_not(town: Town) -> None:
    town.people(30)
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.start()
    town.until(lambda: len(town.released()) == 30, "the release")
    town.people(5, first=100)
    town.accept_all()
    town.until(lambda: finished(town, "ask"), "the end")
    assert len(town.released()) == 30


def test_a_household_hears_one_variant_and_weights_are_kept(town: Town) -> None:
    town.people(2, profile={"email": "both@example.org"})
    town.people(300, first=10)
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.start()
    town.until(lambda: len(town.released()) == 302, "the release")
    people = town.released()
    both = {one.variant for one in people if one.to == "both@example.org"}
    assert len(both) == 1
    shares = Counter(one.variant for one in people)
    assert 0.6 < shares["b"] / len(people) < 0.9


def test_who_acts_meanwhile_is_excluded_by_a_suppression_of_this_send(town: Town) -> None:
    town.people(3)
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.start()
    town.until(lambda: len(town.released()) == 3, "the release")
    town.tell("acted", supporter(1), action="voted")

    def excluded() -> set[str]:
        return {(stored.key or b"").decode() for stored in town._all("suppressions")}

    town.until(lambda: bool(excluded()), "the exclusion")
    assert excluded() == {f"{supporter(1)}|send:ask"}


def test_halt_releases_nothing_and_lifting_it_goes_on(town: Town) -> None:
    town.people(10)
    town.apply(TOWN, ASK)
    town.halt(halted=True)
    town.order(ASK)
    town.start()
    town.until(lambda: town.ask("/ask/segments")["segments"] != [], "the segmenter to be at work")
    assert town.decision("ask") is None
    town.halt(halted=False)
    town.until(lambda: len(town.released()) == 10, "the release")


def test_a_paused_send_releases_nothing_and_a_cancelled_one_ends_each_person(town: Town) -> None:
    town.people(10)
    town.apply(TOWN, ASK)
    town.order(ASK, paused=True)
    town.start()
    town.until(lambda: town.decision("ask") is not None, "the freeze")
    assert town.released() == []
    town.order(ASK, paused=True, cancelled=True)
    town.until(lambda: finished(town, "ask"), "the end")
    assert town.events("cancelled") == Counter({supporter(n): 1 for n in range(10)})
    made = town.decision("ask")
    assert made is not None
    assert made.state == "cancelled"


def test_a_deadline_that_passes_before_release_ends_each_person(town: Town) -> None:
    late = ASK.model_copy(update={"deadline": datetime(2026, 5, 4, 10, tzinfo=UTC)})
    town.people(6)
    town.apply(TOWN, late)
    town.order(late, paused=True)
    town.start()
    town.until(lambda: finished(town, "ask"), "the end")
    assert town.released() == []
    assert town.events("expired") == Counter({supporter(n): 1 for n in range(6)})


def test_newly_qualifies_mails_who_enters_from_then_on_and_nobody_before(town: Town) -> None:
    town.people(5)
    town.tell("acted", supporter(0), action="volunteered")
    town.apply(DOERS, THANKS)
    town.start()
    town.until(
        lambda: town.ask("/ask/segments")["segments"][0]["members"] == 1, "the first volunteer"
    )
    town.order(THANKS, due_at=datetime.now(UTC))
    town.until(lambda: town.decision("thanks") is not None, "the launch")
    town.tell("acted", supporter(3), action="volunteered")
    town.until(lambda: len(town.released()) == 1, "the thanks")
    assert [one.supporter_id for one in town.released()] == [supporter(3)]
    town.accept_all()
    town.until(
        lambda: town.ask("/ask/books", send="thanks")["states"] == {"accepted": 1}, "the books"
    )
    assert not finished(town, "thanks")


def test_explain_says_who_is_outside_and_why(town: Town) -> None:
    town.people(1)
    town.people(1, first=1, tags_added=())
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.start()
    town.until(lambda: len(town.released()) == 1, "the release")
    inside = town.ask("/ask/explain", send="ask", supporter=supporter(0))
    outside = town.ask("/ask/explain", send="ask", supporter=supporter(1))
    assert inside["segment"]["holds"]
    assert inside["frozen"]["state"] is None
    assert not outside["segment"]["holds"]
    assert outside["frozen"] is None
    assert outside["segment"]["tree"][0]["fact"] == "does not carry the tag"


def test_poison_about_a_supporter_is_a_dead_letter_and_the_rest_goes_on(town: Town) -> None:
    town.people(2)
    good = town._person(7, {})
    town.log.append([type(good)("supporters", good.partition, b"k", b"junk", good.headers)])
    town.people(2, first=10)
    town.apply(TOWN, ASK)
    town.order(ASK, due_at=NOW)
    town.start()
    town.until(lambda: len(town.released()) == 4, "the release")
    assert len(town._all("dead-letters")) == 1


def test_a_send_that_is_cancelled_while_it_is_frozen_leaves_nobody_open(town: Town) -> None:
    """One part is frozen, the segmenter dies, the send is cancelled before it is back."""
    town.people(12)
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.start("segmenter.freeze.after_commit:1")
    town.until(town.killed, "the crash")
    town.order(ASK, cancelled=True)
    town.start()
    town.until(lambda: finished(town, "ask"), "the end")
    made = town.decision("ask")
    assert made is not None
    assert made.state == "cancelled"
    assert town.released() == []
    assert sum(town.events("cancelled").values()) == made.frozen > 0


def test_a_record_of_the_programme_that_cannot_be_read_is_a_dead_letter(town: Town) -> None:
    town.people(3)
    town.apply(TOWN, ASK)
    town.log.append([Record(PROGRAMME, 0, b"definition/segment/garbled", b"{", (), 1)])
    town.order(ASK)
    town.start()
    town.until(lambda: len(town.released()) == 3, "the release")
    town.until(lambda: len(town._all(DEAD_LETTERS)) == 1, "the dead letter")
    letter = decode(town._all(DEAD_LETTERS)[0]).data
    assert isinstance(letter, DeadLetter)
    assert letter.key == "definition/segment/garbled"


def matching(town: Town, rule: Rule) -> int:
    """How many match a rule now."""
    (instance,) = town.instances.values()
    question = {"rule": rule.model_dump(mode="json")}
    found = httpx.post(f"http://127.0.0.1:{instance.port}/ask/count", json=question, timeout=10)
    return int(found.json()["matching"])


def test_while_a_domain_is_warmed_up_who_answered_lately_is_released_first(town: Town) -> None:
    disclaimer = Disclaimer(jurisdiction="none", reason="a test")
    warm_up = WarmUp(begins=datetime.now(UTC).date(), days=(10, 20))
    campaign = Campaign(
        name="spring", organisation="Spring", from_name="Spring", from_address="a@example.org",
        reply_to="a@example.org", postal_address="1 High Street", disclaimer=disclaimer,
        warm_up={"example.org": warm_up},
    )  # fmt: skip
    before = ASK.model_copy(update={"name": "before"})
    town.people(60)
    town.apply(TOWN, before, ASK, campaign)
    town.order(before)
    at_once = {f"DOORSTEP_SEGMENTER__{name}HIT_SECONDS": "0.1" for name in ("", "DOUBTFUL_")}
    town.start(**at_once)
    town.until(lambda: len(town.released()) == 60, "the first send")
    clicked, opened = [supporter(n) for n in range(8)], [supporter(n) for n in range(8, 16)]
    for one in opened:
        town.tell("opened", one, send_id="before", agent="person")
    for one in clicked:
        town.tell("clicked", one, send_id="before", agent="person")
    for one in (supporter(n) for n in range(16, 24)):
        town.tell("opened", one, send_id="before", agent="scanner")
    answered = AnyOf(parts=(Clicked(send="before"), Opened(send="before")))
    town.until(lambda: matching(town, answered) == 16, "their answers to count")

    town.order(ASK)

    town.until(lambda: len(town.released()) == 120, "the second send")
    released: dict[int, list[str]] = {}
    for one in town.released():
        if one.send_id == "ask":
            number = partition_of(one.supporter_id, PARTITIONS)
            released.setdefault(number, []).append(one.supporter_id)
    for people in released.values():
        warmth = [2 * (one in clicked) + (one in opened) for one in people]
        assert warmth == sorted(warmth, reverse=True)
    assert sum(len(people) for people in released.values()) == 60


def test_a_preview_knows_what_the_mail_knew(town: Town) -> None:
    town.people(2, attributes={"ward": "W1"})
    town.people(1, first=2, consent=None)
    town.apply(TOWN, ASK)
    town.order(ASK)
    town.start()
    town.until(lambda: len(town.released()) == 2, "the release")
    for real in town.released():
        said = town.ask("/ask/recipient", send="ask", supporter=real.supporter_id)["recipient"]
        shown = Recipient.model_validate(said)
        versions = ("send_version", "template_version", "campaign_version")
        assert shown == real.model_copy(update={each: getattr(shown, each) for each in versions})
    unmailable = town.ask("/ask/recipient", send="ask", supporter=supporter(2))["recipient"]
    assert unmailable["merge"]["supporter"]["first_name"] == "P2"
    assert town.ask("/ask/recipient", send="ask", supporter=supporter(9))["recipient"] is None
    assert (
        "has not arrived yet"
        in town.ask("/ask/recipient", send="x", supporter=supporter(0))["error"]
    )
    question = {
        "rule": TOWN.rule.model_dump(mode="json"), "send": "ask", "fields": ["last_name"],
        "attributes": ["ward", "age"],
    }  # fmt: skip
    (instance,) = town.instances.values()
    address = f"http://127.0.0.1:{instance.port}/ask/lacking"
    found = httpx.post(address, json=question, timeout=10).json()
    assert (found["mailable"], found["fields"]) == (2, {"last_name": 2})
    assert found["attributes"] == {"ward": 0, "age": 2}
    wrong = httpx.post(address, json=question | {"fields": "last_name"}, timeout=10)
    assert wrong.status_code == 400
    assert "fields: wanted is a list" in wrong.json()["error"]
