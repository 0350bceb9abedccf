"""From another system's id, or from an address, to a supporter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.segmenter.people.identity import Meant, by_address, by_external
from shared.wire.supporters import ExternalIdentity
from tests.integration.people.world import Overheard, World, change, key, person

ADA, BEN = person(1), person(2)


def known_as(source: str, external_id: str) -> ExternalIdentity:
    return ExternalIdentity(source=source, external_id=external_id)


def test_a_supporter_is_found_by_each_id_they_were_ever_stated_under(world: World) -> None:
    world.hear(change(ADA, identity=known_as("crm", "7")))
    world.hear(change(ADA, 1, identity=known_as("action network", "x|7")))
    asked = [("crm", "7"), ("action network", "x|7"), ("crm", "8"), ("7", "crm")]
    assert whose(by_external(world.connection, asked, world.owned)) == {
        ("crm", "7"): ADA,
        ("action network", "x|7"): ADA,
    }


def test_one_id_under_two_supporters_means_the_one_stated_first(world: World) -> None:
    world.hear(change(BEN, 5, identity=known_as("crm", "7")))
    world.hear(change(ADA, 9, identity=known_as("crm", "7")))
    assert whose(by_external(world.connection, [("crm", "7")], world.owned)) == {("crm", "7"): BEN}
    world.hear(change(ADA, 1, identity=known_as("crm", "7")))
    assert whose(by_external(world.connection, [("crm", "7")], world.owned)) == {("crm", "7"): ADA}


def test_an_address_is_found_in_any_spelling_by_its_key(world: World) -> None:
    world.hear(change(ADA, profile={"email": "Ada@Example.org"}))
    asked = [key("ada@example.ORG"), key("ben@example.org")]
    assert whose(by_address(world.connection, asked, world.owned)) == {key("ada@example.org"): ADA}


def whose(found: Mapping[Any, Meant]) -> dict[Any, str]:
    return {asked: meant.supporter_id for asked, meant in found.items()}


def test_lookups_read_no_table_from_end_to_end(sqlite_world: World) -> None:
    world = sqlite_world
    for number in range(20):
        world.hear(
            change(
                person(number),
                profile={"email": f"p{number}@example.org"},
                identity=known_as("crm", str(number)),
            )
        )
    with Overheard(world) as overheard:
        by_external(world.connection, [("crm", "7")], world.owned)
        by_address(world.connection, [key("p7@example.org")], world.owned)
    assert len(overheard.statements) == 2
    assert {name.split()[0] for name in overheard.scanned()} <= {"json_each"}
