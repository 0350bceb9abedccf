"""How many of those who would get a mail lack what it shows."""

from __future__ import annotations

from typing import Any

import pytest

from services.segmenter.people.audience import Lacking, anybody, lacking
from services.segmenter.people.ownership import Owned
from services.segmenter.people.rules_sql import RuleUnusable
from shared.log.partitioner import partition_of
from shared.programme.rules import AllOf, Attribute, HasTag
from tests.integration.people.world import CONSENT, PARTITIONS, World, change, key, person

EVERYBODY = AllOf(parts=())


def asked(world: World, fields: Any = (), attributes: Any = (), **more: Any) -> Lacking:
    rule, owned = more.pop("rule", EVERYBODY), more.pop("owned", world.owned)
    return lacking(
        world.connection, rule, world.clock.now(), owned, fields, attributes, **more
    )  # fmt: skip


def told(world: World, number: int, consent: Any = CONSENT, **stated: Any) -> None:
    profile = {"email": f"p{number}@example.org"} | stated.pop("profile", {})
    world.hear(change(person(number), profile=profile, consent=consent, **stated))


def test_what_is_empty_or_not_there_is_counted(world: World) -> None:
    told(world, 1, profile={"first_name": "Ada", "postcode": "FK2 7AA"}, attributes={"ward": "W1"})
    told(world, 2, profile={"last_name": "Byron"}, attributes={"ward": "", "age": 0})
    told(world, 3, attributes={"member": False})
    found = asked(
        world, ["first_name", "last_name", "name", "postcode", "language"],
        ["ward", "age", "member", "nobody's"],
    )  # fmt: skip
    assert found.mailable == 3
    assert found.fields == {"first_name": 2, "last_name": 2, "name": 1, "postcode": 2}
    assert found.attributes == {"ward": 2, "age": 2, "member": 2, "nobody's": 3}


def test_only_those_who_would_get_the_mail_are_counted(world: World) -> None:
    told(world, 1, tags_added=("a",))
    told(world, 2, tags_added=("a",))
    told(world, 3, tags_added=("a",), consent=None)
    told(world, 4)
    world.suppress(key("p2@example.org"), "topic:events")
    rule = HasTag(tag="a")
    assert asked(world, ["first_name"], rule=rule) == Lacking(2, {"first_name": 2}, {})
    assert asked(world, ["first_name"], rule=rule, topic="events").mailable == 1
    assert asked(world, rule=HasTag(tag="nobody"), attributes=["x"]) == Lacking(0, {}, {"x": 0})


def test_instances_add_up(world: World) -> None:
    for number in range(12):
        told(world, number, profile={"first_name": "A"} if number % 3 else {})
    parts = [Owned(frozenset({p}), PARTITIONS) for p in range(PARTITIONS)]
    found = [asked(world, ["first_name"], owned=each) for each in parts]
    assert sum(each.mailable for each in found) == 12
    assert sum(each.fields["first_name"] for each in found) == 4
    first = partition_of(person(0), PARTITIONS)
    assert found[first].fields["first_name"] >= 1


def test_a_rule_that_cannot_be_asked_is_said(world: World) -> None:
    with pytest.raises(RuleUnusable):
        asked(world, ["first_name"], rule=Attribute(name="age", comparison=">"))


def test_anybody_can_be_looked_at(world: World) -> None:
    told(world, 1, profile={"first_name": "Ada"}, given_areas={"ward": "W1"}, consent=None)
    found = anybody(world.connection, person(1))
    assert found is not None
    assert (found.first_name, found.email, found.areas) == ("Ada", "p1@example.org", {"ward": "W1"})
    world.hear(change(person(2), profile={"first_name": "Ben"}))
    nowhere = anybody(world.connection, person(2))
    assert nowhere is not None
    assert (nowhere.email, nowhere.address_key) == ("", "")
    assert anybody(world.connection, person(3)) is None
