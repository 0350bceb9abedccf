"""Counting and listing those who may be mailed, and saying why the others may not."""

from __future__ import annotations

from typing import Any

import pytest

from services.segmenter.people.audience import count, done_any, holding, members_by_id
from services.segmenter.people.rules_sql import RuleUnusable
from shared.log.partitioner import partition_of
from shared.programme.rules import AllOf, Attribute, Did, HasTag, InArea, NoneOf, Sample
from tests.integration.people.world import (
    CONSENT,
    NOON,
    PARTITIONS,
    Overheard,
    World,
    at,
    change,
    event,
    key,
    person,
)


def consenting(world: World, *numbers: int, **stated: Any) -> None:
    """People with an address of their own, and consent."""
    for number in numbers:
        said = {"profile": {"email": f"p{number}@example.org"}, "consent": CONSENT, **stated}
        world.hear(change(person(number), **said))


def test_the_reasons_add_up_to_everyone_who_matches(world: World) -> None:
    consenting(world, *range(6), tags_added=("a",))
    consenting(world, 6)
    world.hear(
        change(person(7), profile={"email": "p7@example.org"}, tags_added=("a",)),
        event("unsubscribed", person(0), 5),
        event("complained", person(1), 5, send_id="s"),
        event("bounced", person(2), 5, send_id="s"),
    )
    world.suppress(key("p3@example.org"), reason="erased")
    counted = world.count(HasTag(tag="a"))
    assert counted.left_out == {
        "unsubscribed": 1,
        "complained": 1,
        "bounced": 1,
        "suppressed": 1,
        "no_consent": 1,
    }
    assert counted.mailable == 2
    assert counted.matching == 7
    assert world.mailable(HasTag(tag="a")) == {person(4), person(5)}


def test_a_topic_and_a_send_bring_their_own_suppressions(world: World) -> None:
    consenting(world, 1, 2, 3)
    world.suppress(person(1), "topic:events")
    world.suppress(key("p2@example.org"), "send:s1", "excluded")
    assert world.count().mailable == 3
    assert world.count(topic="events").left_out == {"suppressed": 1}
    assert world.mailable(topic="events") == {person(2), person(3)}
    assert world.mailable(topic="events", send_id="s1") == {person(3)}
    assert world.mailable(topic="other", send_id="s2") == {person(1), person(2), person(3)}


def test_an_inbox_that_gets_nothing_for_a_while_is_left_out_of_everything(world: World) -> None:
    consenting(world, 1, 2)
    world.suppress(key("p2@example.org"), "for_now", "soft_bounces")
    assert world.mailable() == {person(1)}
    assert world.mailable(topic="events", send_id="s1") == {person(1)}


def test_people_without_a_place_are_counted_apart_and_still_mailed(world: World) -> None:
    consenting(world, 1, profile={"email": "p1@example.org", "postcode": "FK2 7AA"})
    consenting(world, 2, profile={"email": "p2@example.org", "postcode": "nowhere"})
    consenting(world, 3, given_areas={"precinct": "12"})
    consenting(world, 4)
    counted = world.count()
    assert (counted.mailable, counted.unplaced) == (4, 2)


def test_each_partition_lists_its_own_people_in_order_and_together_they_are_all(
    world: World,
) -> None:
    consenting(world, *range(40))
    listed = []
    for partition in range(PARTITIONS):
        part = [
            row.supporter_id
            for row in world.members()
            if partition_of(row.supporter_id, PARTITIONS) == partition
        ]
        assert part == sorted(part)
        listed += part
    assert sorted(listed) == [person(number) for number in range(40)]


def test_a_wards_people_who_pledged_and_have_not_voted(world: World) -> None:
    for number in range(6):
        consenting(world, number, given_areas={"ward": f"W{number % 3}"})
    world.hear(
        *(event("acted", person(number), action="pledged") for number in range(5)),
        event("acted", person(0), 5, action="voted"),
    )
    rule = AllOf(
        parts=(
            InArea(kind="ward", codes=("W0", "W1")),
            Did(action="pledged"),
            NoneOf(parts=(Did(action="voted"),)),
        )
    )
    assert world.mailable(rule) == {person(1), person(3), person(4)}
    assert world.count(rule).mailable == 3


def test_those_of_the_given_who_may_be_mailed_now(world: World) -> None:
    consenting(world, 1, 2, 3)
    world.hear(event("unsubscribed", person(2), 5))
    given = [person(3), person(2), person(9), person(1)]
    found = list(members_by_id(world.connection, given))
    assert [member.supporter_id for member in found] == [person(1), person(3)]
    assert list(members_by_id(world.connection, [])) == []


def test_who_has_done_it_since(world: World) -> None:
    consenting(world, 1, 2, 3)
    world.hear(
        event("acted", person(1), action="voted"), event("acted", person(2), action="pledged")
    )
    everyone = [person(1), person(2), person(3)]
    assert done_any(world.connection, everyone, ["voted", "donated"]) == {person(1)}
    assert done_any(world.connection, everyone, []) == set()


def test_the_pixel_needs_a_plain_yes(world: World) -> None:
    answers = (True, "yes", 1, False)
    for number, answer in enumerate(answers):
        consenting(world, number, attributes={"pixel_consent": answer})
    assert [m.pixel(needs_consent=True) for m in world.members()] == [True, False, False, False]


def test_a_seeded_sample_can_be_asked_on_any_connection(world: World) -> None:
    consenting(world, *range(50))
    half = Sample(percent=50, seed="spring")
    sampled = world.mailable(half)
    assert 10 < len(sampled) < 40
    reader = world.store.reader()
    assert count(reader, half, NOON, world.owned).mailable == len(sampled)
    reader.close()
    assert holding(world.connection, half, NOON, [person(n) for n in range(50)]) == sampled


def test_a_rule_that_cannot_be_asked_says_so_at_once(world: World) -> None:
    broken = Attribute(name="age", comparison="<")
    with pytest.raises(RuleUnusable, match="age"):
        world.count(broken)
    with pytest.raises(RuleUnusable, match="age"):
        world.members(broken)


def test_given_people_are_looked_up_and_never_searched_for(sqlite_world: World) -> None:
    """A join instead would read everyone into a Bloom filter for a handful of people."""
    world = sqlite_world
    consenting(world, *range(3))
    world.connection.execute("analyze")
    with Overheard(world) as overheard:
        list(members_by_id(world.connection, [person(1)]))
        holding(world.connection, HasTag(tag="a"), at(), [person(1)])
    assert len(overheard.statements) == 2
    assert all(name.startswith("json_each") for name in overheard.scanned())
