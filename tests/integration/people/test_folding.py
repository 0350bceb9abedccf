"""Changes and events become the people of the store, and what follows is said."""

from __future__ import annotations

import json
import random
from typing import Any

import apsw
import pytest

from services.segmenter.people.profiles import from_memory
from shared.errors import NeverRetry
from shared.loop.delivery import Delivery
from shared.wire.supporters import Consent, ExternalIdentity
from tests.integration.people.world import (
    CONSENT,
    World,
    at,
    change,
    event,
    key,
    person,
)

ADA, BEN = person(1), person(2)
EMAIL = {"email": "ada@example.org"}


def test_an_import_makes_a_supporter_with_a_place(world: World) -> None:
    world.hear(
        change(
            ADA,
            profile={**EMAIL, "first_name": " Ada ", "postcode": "fk2 7aa", "language": "gd-Latn"},
            attributes={"age": 41, "pixel_consent": True},
            tags_added=("volunteer",),
            given_areas={"ward": "S13003000"},
            identity=ExternalIdentity(source="crm", external_id="7"),
            consent=CONSENT,
        )
    )
    (ada,) = world.members()
    assert (ada.supporter_id, ada.email, ada.address_key) == (
        ADA,
        EMAIL["email"],
        key(EMAIL["email"]),
    )
    assert (ada.first_name, ada.last_name, ada.language) == ("Ada", None, "gd-Latn")
    assert ada.postcode == "FK2 7AA"
    assert ada.attributes == {"age": 41, "pixel_consent": True}
    assert ada.pixel(needs_consent=True)
    assert ada.areas == {
        "ward": "S13003000",
        "postcode_sector": "FK2 7",
        "postcode_district": "FK2",
        "local_authority": "S12000014",
    }
    assert ada.latitude == pytest.approx(56.0, abs=0.1)


def test_consent_is_kept_as_a_record(world: World) -> None:
    world.hear(change(ADA, profile=EMAIL, consent=CONSENT))
    assert world.column("consent_wording", ADA) == "Yes, mail me"
    assert world.column("consent_source", ADA) == "web form"
    world.hear(
        change(ADA, 5, consent=Consent(wording="Older", source="paper", at=at(-60))),
    )
    assert world.column("consent_wording", ADA) == "Yes, mail me"


def test_who_cannot_be_mailed_is_kept_with_the_reason(world: World) -> None:
    world.hear(
        change(person(1), profile={"email": "a@example.org"}),
        change(person(2), consent=CONSENT),
        change(person(3), profile={"email": "nonsense"}, consent=CONSENT),
        change(person(4), profile={"email": "noreply@example.org"}, consent=CONSENT),
    )
    assert world.members() == []
    assert world.count().left_out == {
        "no_consent": 1,
        "no_address": 1,
        "bad_address": 1,
        "never_mailed": 1,
    }
    assert json.loads(world.column("flags", person(3))) == ["bad address: no name@domain"]
    assert world.column("email", person(3)) == "nonsense"


def test_moving_house_moves_the_derived_areas_and_leaves_the_given_ones(world: World) -> None:
    world.hear(change(ADA, profile={"postcode": "FK2 7AA"}, given_areas={"ward": "W1"}))
    world.hear(change(ADA, 1, profile={"postcode": "EH1 1YZ"}))
    areas = json.loads(world.column("areas", ADA))
    assert areas["postcode_district"] == ["EH1", False, "postcode"]
    assert areas["ward"] == ["W1", True, "crm"]
    world.hear(change(ADA, 2, profile={"postcode": None}))
    assert json.loads(world.column("areas", ADA)) == {"ward": ["W1", True, "crm"]}
    rows = world.connection.execute("select kind from supporter_area").fetchall()
    assert rows == [("ward",)]


def test_tags_and_attributes_that_are_taken_back_are_gone_from_every_table(world: World) -> None:
    world.hear(change(ADA, attributes={"a": "1", "b": 2}, tags_added=("x", "y")))
    world.hear(change(ADA, 1, attributes={"a": None, "b": "two"}, tags_removed=("x",)))
    rows = world.rows()
    assert rows["supporter_tag"] == [("y", ADA)]
    assert rows["supporter_attribute"] == [("b", ADA, "text", "two")]


def test_an_unsubscribe_by_a_link_reaches_every_name_of_the_inbox(world: World) -> None:
    world.hear(
        change(ADA, profile=EMAIL, consent=CONSENT), change(BEN, profile=EMAIL, consent=CONSENT)
    )
    world.hear(event("unsubscribed", ADA, 5))
    assert world.suppressed() == {
        f"{ADA}|everything": "unsubscribed",
        f"{key(EMAIL['email'])}|everything": "unsubscribed",
    }
    world.hear_ourselves()
    assert world.count().left_out == {"unsubscribed": 1, "suppressed": 1}


def test_an_import_after_an_unsubscribe_changes_the_name_and_nothing_else(world: World) -> None:
    world.hear(change(ADA, profile=EMAIL, consent=CONSENT))
    world.hear(event("unsubscribed", ADA, 5))
    said = world.suppressed()
    world.hear(
        change(
            ADA, 9, profile={**EMAIL, "first_name": "Ada"}, subscription="subscribed",
            consent=Consent(wording="again", source="crm", at=at(8)),
        )
    )  # fmt: skip
    assert world.column("first_name", ADA) == "Ada"
    assert world.members() == []
    assert world.suppressed() == said


def test_their_own_hand_frees_the_person_and_the_inbox(world: World) -> None:
    world.hear(change(ADA, profile=EMAIL, consent=CONSENT))
    world.hear(event("unsubscribed", ADA, 5))
    world.hear_ourselves()
    world.hear(change(ADA, 9, stated_by="supporter", subscription="subscribed"))
    assert set(world.suppressed().values()) == {None}
    world.hear_ourselves()
    assert world.mailable() == {ADA}


def test_an_inbox_that_somebody_else_left_too_is_not_freed(world: World) -> None:
    world.hear(
        change(ADA, profile=EMAIL, consent=CONSENT), change(BEN, profile=EMAIL, consent=CONSENT)
    )
    world.hear(event("unsubscribed", ADA, 5), event("unsubscribed", BEN, 6))
    world.hear(change(ADA, 9, stated_by="supporter", subscription="subscribed"))
    assert world.suppressed()[f"{ADA}|everything"] is None
    assert world.suppressed()[f"{key(EMAIL['email'])}|everything"] == "unsubscribed"
    world.hear_ourselves()
    assert world.members() == []
    world.hear(change(BEN, 10, stated_by="supporter", subscription="subscribed"))
    world.hear_ourselves()
    assert world.mailable() == {ADA, BEN}


def test_coming_back_does_not_lift_a_complaint_about_the_inbox(world: World) -> None:
    world.hear(change(ADA, profile=EMAIL, consent=CONSENT))
    world.hear(event("unsubscribed", ADA, 5))
    world.hear_ourselves()
    world.suppress(key(EMAIL["email"]), reason="complained")
    world.hear(change(ADA, 9, stated_by="supporter", subscription="subscribed"))
    assert world.suppressed()[f"{key(EMAIL['email'])}|everything"] == "unsubscribed"
    assert world.connection.execute(
        "select reason from suppression where subject = ?", (key(EMAIL["email"]),)
    ).fetchall() == [("complained",)]


def test_an_unsubscribe_heard_of_before_the_person_is_not_lost(world: World) -> None:
    world.hear(event("unsubscribed", ADA, 5))
    assert world.suppressed() == {f"{ADA}|everything": "unsubscribed"}
    world.hear(change(ADA, profile=EMAIL, consent=CONSENT))
    assert world.suppressed()[f"{key(EMAIL['email'])}|everything"] == "unsubscribed"
    assert world.members() == []


def test_a_bounce_is_lifted_by_a_new_address(world: World) -> None:
    world.hear(change(ADA, profile=EMAIL, consent=CONSENT))
    world.hear(event("bounced", ADA, 5, send_id="s1"))
    assert world.count().left_out == {"bounced": 1}
    assert world.suppressed() == {}, "who heard of the bounce has said so, by the address in it"
    world.hear(change(ADA, 9, profile={"email": "ada@example.com"}))
    assert world.mailable() == {ADA}


def test_a_bounce_of_a_mail_to_the_old_address_leaves_the_new_one_alone(world: World) -> None:
    world.hear(change(ADA, profile=EMAIL, consent=CONSENT))
    world.hear(event("accepted", ADA, 2, send_id="s1"))
    world.hear(change(ADA, 4, profile={"email": "ada@example.com"}))
    world.hear(event("bounced", ADA, 60, send_id="s1"))
    assert world.mailable() == {ADA}
    world.hear(event("bounced", ADA, 90, send_id="s2"))
    assert world.mailable() == set()


def test_the_same_batch_again_writes_and_says_nothing(world: World) -> None:
    batch = repeatable(world)
    world.hear(*batch)
    rows, said = world.rows(), world.suppressed()
    world.hear(*batch)
    assert world.rows() == rows
    assert world.suppressed() == said


def test_the_same_batch_again_writes_one_row_of_a_delivery_and_no_profile(
    sqlite_world: World,
) -> None:
    assert isinstance(sqlite_world.connection, apsw.Connection)
    batch = repeatable(sqlite_world)
    sqlite_world.hear(*batch)
    changes = sqlite_world.connection.total_changes()
    sqlite_world.hear(*batch)
    assert sqlite_world.connection.total_changes() - changes <= 2


def repeatable(world: World) -> list[Delivery]:
    return [
        world.delivery(change(ADA, profile=EMAIL, consent=CONSENT, tags_added=("a",))),
        world.delivery(event("accepted", ADA, 3, send_id="s1", variant="a")),
        world.delivery(event("acted", ADA, 4, action="pledged", send_id="s1")),
        world.delivery(event("unsubscribed", ADA, 5)),
    ]


def test_records_in_any_order_and_any_batches_give_the_same_tables(
    shared_world: World,
) -> None:
    world = shared_world
    heard = [
        world.delivery(change(ADA, 0, profile=EMAIL, consent=CONSENT, tags_added=("a",))),
        world.delivery(change(ADA, 6, profile={"email": "new@example.org"}, tags_removed=("a",))),
        world.delivery(change(BEN, 2, profile={"postcode": "FK2 7AA"}, attributes={"n": 1})),
        world.delivery(event("accepted", ADA, 3, send_id="s", variant="a", edition="e")),
        world.delivery(event("unconfirmed", BEN, 3, send_id="s", variant="b", edition="e")),
        world.delivery(event("ses_sent", BEN, 4, send_id="s", variant="b", edition="e")),
        world.delivery(event("opened", ADA, 9, send_id="s", agent="person")),
        world.delivery(event("opened", ADA, 7, send_id="s", agent="proxy")),
        world.delivery(event("opened", ADA, 4, send_id="s", agent="prefetch")),
        world.delivery(event("clicked", BEN, 8, send_id="s")),
        world.delivery(event("acted", ADA, 10, send_id="s", action="pledged")),
        world.delivery(event("acted", ADA, 11, action="pledged")),
        world.delivery(event("unsubscribed", BEN, 12)),
    ]
    draw = random.Random(7)
    outcomes = []
    for _ in range(12):
        world.clear()
        draw.shuffle(heard)
        cut = draw.randrange(len(heard))
        world.hear(*heard[:cut])
        world.hear(*heard[cut:])
        world.settle()
        outcomes.append({table: rows for table, rows in world.rows().items() if rows})
    for outcome in outcomes[1:]:
        assert by_profile(outcome) == by_profile(outcomes[0])
    assert outcomes[0]["delivery"] == [
        ("s", ADA, 0, "a", "e", "accepted", ms(3), None, None, ms(7), None, ms(10)),
        ("s", BEN, 0, "b", "e", "unconfirmed", ms(4), None, None, None, ms(8), None),
    ]


def by_profile(rows: dict[str, list[tuple[Any, ...]]]) -> dict[str, object]:
    """The memory as the profile it is of: its entries may stand in any order."""
    profiles = [
        tuple(from_memory(value) if isinstance(value, bytes) else value for value in row)
        for row in rows["profile"]
    ]
    hits = [row[:-2] for row in rows["hit"]]  # without the moments at which they were judged
    return {**rows, "profile": profiles, "hit": hits}


def ms(minutes: float) -> int:
    return int(at(minutes).timestamp() * 1000)


def test_a_record_in_the_wrong_partition_is_refused_in_words(world: World) -> None:
    delivery = world.delivery(change(ADA, profile=EMAIL))
    moved = delivery.stored.__class__(
        "supporters", (delivery.stored.partition + 1) % 4, 9, None, b"", (), 0
    )
    with pytest.raises(NeverRetry, match="belongs to partition"):
        world.hear(delivery.__class__(moved, delivery.envelope))


def test_poison_leaves_no_trace_of_its_batch(world: World) -> None:
    good = change(ADA, profile=EMAIL)
    poison = change(BEN, attributes={"n": float("nan")})
    with pytest.raises(NeverRetry, match="not a finite number"):
        world.hear(good, poison)
    assert world.rows()["profile"] == []
    world.hear(good)
    assert len(world.rows()["profile"]) == 1


def test_an_acted_event_must_name_its_action(world: World) -> None:
    with pytest.raises(NeverRetry, match="name its action"):
        world.hear(event("acted", ADA))


def test_an_action_that_came_by_a_forwarded_mail_makes_no_delivery(world: World) -> None:
    world.hear(event("acted", BEN, 5, action="pledged", send_id="s1", came_by=ADA))
    assert world.rows()["delivery"] == []
    assert [row[1:3] for row in world.rows()["action"]] == [(BEN, "pledged")]


def test_a_click_on_a_mail_that_is_not_known_any_more_is_no_poison(world: World) -> None:
    world.hear(event("clicked", ADA, 1, agent="person"), event("opened", ADA, 1))
    assert world.rows()["delivery"] == []
