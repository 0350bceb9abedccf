"""What other services ask of people: counts, imports rehearsed, explanations, profiles."""

from __future__ import annotations

import json

import pytest

from services.segmenter.people import questions
from services.segmenter.people.rehearsal import Verdict, rehearse
from shared.programme.definitions import Segment
from shared.programme.rules import AllOf, AnyOf, Attribute, Did, Got, HasTag, InArea, NoneOf, Sample
from shared.wire.supporters import ExternalIdentity, SupporterChanged
from tests.integration.people.world import (
    CONSENT,
    SECRET,
    World,
    change,
    event,
    key,
    person,
)

ADA, BEN, CAT = person(1), person(2), person(3)
TAGGED = HasTag(tag="a")


def ada(world: World) -> None:
    world.hear(
        change(
            ADA,
            profile={"email": "ada@example.org", "first_name": "Ada", "postcode": "FK2 7AA"},
            attributes={"age": 41},
            tags_added=("a",),
            given_areas={"ward": "W1"},
            identity=ExternalIdentity(source="crm", external_id="7"),
            consent=CONSENT,
        )
    )


def rehearsed(world: World, *changes: SupporterChanged) -> list[Verdict]:
    return rehearse(world.connection, changes, SECRET, world.clock.now())


def test_a_count_is_plain_json(world: World) -> None:
    ada(world)
    counted = questions.count_of(world.connection, TAGGED, world.clock.now(), world.owned)
    assert json.loads(json.dumps(counted)) == {
        "matching": 1,
        "mailable": 1,
        "left_out": {},
        "unplaced": 0,
    }


def test_segments_are_listed_with_counts_and_with_what_is_wrong(world: World) -> None:
    ada(world)
    tagged = Segment(name="tagged", description="Those tagged a", rule=TAGGED)
    edited = Segment(name="tagged", rule=AllOf(parts=(TAGGED,)))
    broken = Segment(name="broken", rule=Attribute(name="age", comparison=">"))
    world.use(tagged=TAGGED)
    world.use(tagged=TAGGED)
    now = world.clock.now()
    world.people.use_segments([tagged], now)
    assert world.people.seed_next(world.store, world.store.owned(), now)
    listed = questions.listing(world.connection, [tagged, edited, broken], now, world.owned)
    first, second, third = listed
    assert (first["mailable"], first["live"], first["description"]) == (1, 1, "Those tagged a")
    assert (second["mailable"], second["live"]) == (1, None)
    assert "age" in third["unusable"]
    assert "mailable" not in third


def test_an_import_learns_who_its_rows_are(world: World) -> None:
    ada(world)
    world.hear(change(BEN, profile={"email": "ben@example.org"}), event("unsubscribed", BEN, 5))
    world.suppress(key("gone@example.org"), reason="complained")
    keys: list[dict[str, str | None]] = [
        {"source": "crm", "external_id": "7", "address_key": key("ben@example.org")},
        {"address_key": key("ben@example.org")},
        {"source": "crm", "external_id": "8", "address_key": key("gone@example.org")},
        {"source": "other", "external_id": "7"},
    ]
    by_id, by_address, new, other = questions.known(world.connection, keys, world.owned)
    assert by_id["supporter_id"] == ADA
    assert by_id["fields"]["first_name"] == "Ada"
    assert (by_id["attributes"], by_id["tags"], by_id["given_areas"]) == (
        {"age": 41},
        ["a"],
        {"ward": "W1"},
    )
    assert (by_address["supporter_id"], by_address["unsubscribed"]) == (BEN, True)
    assert (new["supporter_id"], new["suppressed"]) == (None, "complained")
    assert (other["supporter_id"], other["standing"]) == (None, None)
    json.dumps([by_id, by_address, new, other])


def test_an_old_address_is_nobodys_and_a_shared_one_is_the_first_ones(world: World) -> None:
    world.hear(change(ADA, 0, profile={"email": "old@example.org"}))
    world.hear(change(ADA, 1, profile={"email": "shared@example.org"}))
    world.hear(change(BEN, 5, profile={"email": "shared@example.org"}))
    asked: list[dict[str, str | None]] = [
        {"address_key": key("old@example.org")},
        {"address_key": key("shared@example.org")},
    ]
    old, shared = questions.known(world.connection, asked, world.owned)
    assert old["supporter_id"] is None
    assert shared["supporter_id"] == ADA


def test_a_rehearsed_import_says_new_changed_unchanged_and_refused(world: World) -> None:
    ada(world)
    same = {"email": "ADA@example.org ", "first_name": "Ada"}
    verdicts = rehearsed(
        world,
        change(ADA, 9, profile=same, attributes={"age": 41}, tags_added=("a",)),
        change(ADA, 9, profile={"last_name": "Byron"}, attributes={"age": 42}),
        change(BEN, 9, profile={"email": "info@example.org"}),
        change(CAT, 9, tags_added=("x" * 300,)),
        change(ADA, -9, profile={"first_name": "Augusta"}),
    )
    assert [verdict.outcome for verdict in verdicts] == [
        "unchanged",
        "changed",
        "new",
        "refused",
        "unchanged",
    ]
    assert verdicts[1].changed == ("last_name", "attributes")
    assert verdicts[2].standing == "no_consent"
    assert verdicts[2].flags == ("a role, not a person",)
    assert "longer than" in verdicts[3].reason


def test_a_rehearsed_import_resubscribes_nobody_and_writes_nothing(world: World) -> None:
    ada(world)
    world.hear(event("unsubscribed", ADA, 5))
    world.suppress(key("gone@example.org"), reason="hard_bounce")
    rows = world.rows()
    back = change(ADA, 9, subscription="subscribed", consent=CONSENT)
    by_import, by_hand, gone = rehearsed(
        world,
        back,
        back.model_copy(update={"stated_by": "supporter"}),
        change(BEN, 9, profile={"email": "gone@example.org"}, consent=CONSENT),
    )
    assert not by_import.resubscribed
    assert by_import.standing == "unsubscribed"
    assert by_hand.resubscribed
    assert (gone.outcome, gone.standing, gone.suppressed) == ("new", "mailable", "hard_bounce")
    assert world.rows() == rows


def test_an_explanation_shows_each_branch_with_its_fact(world: World) -> None:
    ada(world)
    world.hear(
        event("accepted", ADA, 1, send_id="s1", variant="b"),
        event("acted", ADA, 2, action="pledged"),
        event("acted", ADA, 3, action="pledged"),
    )
    rule = AllOf(
        parts=(
            InArea(kind="ward", codes=("W1",)),
            AnyOf(parts=(Got(send="s1", variant="a"), Did(action="pledged", at_least=2))),
            NoneOf(parts=(Attribute(name="age", comparison=">", values=(40,)),)),
            Sample(percent=100),
        )
    )
    told = questions.explanation(world.connection, rule, ADA, world.clock.now())
    assert (told["known"], told["member"], told["mailable"]) == (True, False, True)
    ward, either, young, sample = told["tree"]["parts"]
    assert (ward["holds"], ward["fact"]) == (True, "ward is W1, given by crm")
    got, pledged = either["parts"]
    assert either["text"] == "any of these"
    assert not got["holds"]
    assert got["fact"] == "accepted at 2026-05-07T12:01:00+00:00, variant b"
    assert pledged["holds"]
    assert pledged["fact"] == "2 times, last at 2026-05-07T12:03:00+00:00"
    assert (young["holds"], young["parts"][0]["fact"]) == (False, "age is the number 41")
    assert sample["holds"]
    json.dumps(told)


def test_an_explanation_of_somebody_unknown_is_an_answer_too(world: World) -> None:
    told = questions.explanation(world.connection, NoneOf(parts=(TAGGED,)), ADA, world.clock.now())
    assert (told["known"], told["mailable"]) == (False, False)
    assert told["reasons"][0]["reason"] == "unknown"
    assert told["tree"]["parts"][0]["fact"] == "does not carry the tag"
    assert told["member"] is False


def test_every_reason_against_mailing_somebody_is_named(world: World) -> None:
    ada(world)
    world.hear(event("unsubscribed", ADA, 5))
    world.hear_ourselves()
    world.suppress(ADA, "topic:events", "excluded")
    reasons = questions.left_out(world.connection, ADA, topic="events")
    assert [reason["meaning"] for reason in reasons] == [
        "They asked for no more mail.",
        "They are suppressed: unsubscribed.",
        "Their inbox is suppressed: unsubscribed.",
    ]
    assert questions.left_out(world.connection, ADA)[0]["reason"] == "unsubscribed"


def test_a_profile_shows_everything_known_with_where_it_is_from(world: World) -> None:
    ada(world)
    world.use(tagged=TAGGED)
    world.hear(event("acted", ADA, 3, action="pledged", send_id="s1"))
    shown = questions.profile(world.connection, ADA, world.owned)
    assert shown is not None
    assert shown["fields"]["email"] == "ada@example.org"
    assert shown["standing"] == "mailable"
    assert shown["areas"]["ward"] == {"code": "W1", "given": True, "provenance": "crm"}
    assert shown["areas"]["postcode_district"]["provenance"] == "postcode"
    assert shown["consent"]["wording"] == "Yes, mail me"
    assert shown["identities"] == [{"source": "crm", "external_id": "7"}]
    assert shown["actions"][0]["action"] == "pledged"
    assert shown["segments"][0]["segment"] == "tagged"
    assert shown["joined"]["source"] == "crm"
    json.dumps(shown)
    assert questions.profile(world.connection, BEN, world.owned) is None


def test_questions_only_read(world: World) -> None:
    ada(world)
    world.use(tagged=TAGGED)
    reading, now, owned = world.store.reader(), world.clock.now(), world.owned
    counted = questions.count_of(reading, Sample(percent=100, seed="x"), now, owned)
    assert counted["mailable"] == 1
    assert questions.listing(reading, [Segment(name="tagged", rule=TAGGED)], now, owned)
    assert questions.known(reading, [{"address_key": key("ada@example.org")}], owned)
    assert questions.explanation(reading, TAGGED, ADA, now)["member"]
    assert questions.profile(reading, ADA, owned)
    assert rehearse(reading, [change(ADA)], SECRET, now)
    with pytest.raises(Exception, match=r"read-?only"):
        reading.execute("delete from supporter")
    reading.close()
