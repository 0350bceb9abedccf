"""Several instances on one PostgreSQL, each with its own partitions: what one knows of its people
the others leave alone, and a partition that changes hands is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.segmenter.people import questions, samples
from services.segmenter.people.audience import holding
from services.segmenter.people.places.areas import Resolver
from shared.errors import Fenced
from shared.log.partitioner import partition_of
from shared.programme.rules import AllOf, Did, HasTag, Rule, Sample
from shared.wire.schema import WireModel
from shared.wire.supporters import ExternalIdentity
from tests.integration.people.naive_rules import AS_OF, Someone, peoples, rules
from tests.integration.people.world import (
    CONSENT,
    EVERYONE,
    PARTITIONS,
    World,
    change,
    event,
    key,
    person,
    postgres_store,
)
from tests.real_postgres import PostgresServer

pytestmark = pytest.mark.real("postgres")

Opening = Callable[..., World]
ALL = range(PARTITIONS)


@pytest.fixture
def instance(postgres_dsn: str, places: Resolver) -> Iterator[Opening]:
    """Opens an instance that owns the partitions it is given."""
    opened: list[World] = []

    def open_one(*owned: int) -> World:
        opened.append(World(postgres_store(postgres_dsn), places, owned))
        return opened[-1]

    yield open_one
    for one in opened:
        one.store.close()


def hear(worlds: list[World], *heard: WireModel) -> None:
    """Each instance hears what is about its own people, one batch each."""
    for world in worlds:
        mine = [one for one in heard if world.owned.has(one.supporter_id)]  # type: ignore[attr-defined]
        if mine:
            world.hear(*mine)


def somebody(number: int, **stated: object) -> WireModel:
    return change(
        person(number), profile={"email": f"p{number}@example.org"}, consent=CONSENT, **stated
    )


def test_counts_and_members_add_up_to_what_one_alone_would_say(instance: Opening) -> None:
    one, two = instance(0, 1), instance(2, 3)
    hear([one, two], *(somebody(n, tags_added=("a",) if n % 2 else ()) for n in range(40)))
    tagged = HasTag(tag="a")
    counts = [world.count(tagged).mailable for world in (one, two)]
    assert sum(counts) == 20
    assert 0 < counts[0] < 20
    for world in (one, two):
        world.use(tagged=tagged)
        assert world.count().mailable == len(world.audience())
        assert all(world.owned.has(member.supporter_id) for member in world.members())
    assert one.belonging()["tagged"] == {person(n) for n in range(40) if n % 2}
    listed = [
        questions.listing(world.connection, segments(tagged), world.clock.now(), world.owned)
        for world in (one, two)
    ]
    assert [entry["live"] for (entry,) in listed] == counts


def segments(rule: Rule) -> list[object]:
    from shared.programme.definitions import Segment

    return [Segment(name="tagged", rule=rule)]


def test_nobody_writes_for_a_partition_that_was_taken(instance: Opening) -> None:
    one = instance(*ALL)
    one.use(tagged=HasTag(tag="a"), lately=Did(action="x", within_days=1))
    hear([one], *(somebody(n) for n in range(20)))
    two = instance(2, 3)
    with pytest.raises(Fenced):
        one.hear(*(change(person(n), 1, tags_added=("a",)) for n in range(20)))
    one.clock.advance(60)
    with pytest.raises(Fenced):
        one.sweep()
    with pytest.raises(Fenced):
        one.use(tagged=HasTag(tag="b"))
    assert one.belonging() == {"tagged": set(), "lately": set()}
    assert two.connection.execute("select max(swept_at) from sweep").fetchall() == [(None,)]


def test_who_takes_a_partition_goes_on_with_it_and_seeds_nothing_anew(instance: Opening) -> None:
    one = instance(*ALL)
    one.use(tagged=HasTag(tag="a"))
    hear([one], *(somebody(n, tags_added=("a",)) for n in range(20)))
    two = instance(2, 3)
    one.lose(2, 3)
    two.clock.advance(600)
    two.use(tagged=HasTag(tag="a"))
    assert len(set(two.connection.execute("select seeded_at from live_segment"))) == 1
    before = two.moves()
    hear([one, two], *(change(person(n), 1, tags_removed=("a",)) for n in range(20)))
    left = [move[:3] for move in two.moves()[len(before) :]]
    assert sorted(left) == [("tagged", person(n), "left") for n in range(20)]
    assert two.belonging() == {"tagged": set()}


def test_an_edited_segment_is_seeded_by_each_for_its_own_alone(instance: Opening) -> None:
    one, two = instance(0, 1), instance(2, 3)
    hear([one, two], *(somebody(n, tags_added=("ab"[n % 2],)) for n in range(20)))
    for world in (one, two):
        world.use(people=HasTag(tag="a"))
    one.use(people=HasTag(tag="b"))
    first = {n for n in range(20) if one.owned.has(person(n))}
    assert one.belonging()["people"] == {person(n) for n in range(20) if (n in first) == n % 2}
    two.use()
    assert one.belonging()["people"] == {person(n) for n in first if n % 2}
    two.use(people=HasTag(tag="b"))
    assert one.belonging()["people"] == {person(n) for n in range(20) if n % 2}
    assert one.moves() == []


def test_an_import_puts_the_answers_of_all_together(instance: Opening) -> None:
    one, two = instance(0, 1), instance(2, 3)
    mine = next(n for n in range(40) if one.owned.has(person(n)))
    theirs = next(n for n in range(40) if two.owned.has(person(n)))
    crm = ExternalIdentity(source="crm", external_id="7")
    shared = {"email": "shared@example.org"}
    hear([one, two], change(person(mine), 5, identity=crm, profile=shared))
    hear([one, two], change(person(theirs), 1, identity=crm, profile=shared))
    asked: list[dict[str, str | None]] = [
        {"source": "crm", "external_id": "7"},
        {"address_key": key("shared@example.org")},
    ]
    told = [questions.known(world.connection, asked, world.owned) for world in (one, two)]
    for by, ours, other in zip(("external_id", "address"), *told, strict=True):
        assert (ours["by"], other["by"]) == (by, by)
        assert (ours["supporter_id"], other["supporter_id"]) == (person(mine), person(theirs))
        assert other["since_ms"] < ours["since_ms"], "the earlier one is meant"
    assert questions.profile(one.connection, person(mine), one.owned)


def test_an_inbox_is_free_only_when_nobody_of_any_partition_left_it(instance: Opening) -> None:
    one, two = instance(0, 1), instance(2, 3)
    mine = next(n for n in range(40) if one.owned.has(person(n)))
    theirs = next(n for n in range(40) if two.owned.has(person(n)))
    shared = {"email": "shared@example.org"}
    hear([one, two], *(change(person(n), profile=shared) for n in (mine, theirs)))
    hear([one, two], *(event("unsubscribed", person(n), 2) for n in (mine, theirs)))
    back = {"stated_by": "supporter", "subscription": "subscribed"}
    hear([one], change(person(mine), 5, **back))
    assert one.suppressed()[f"{key('shared@example.org')}|everything"] is not None
    hear([two], change(person(theirs), 6, **back))
    assert one.suppressed()[f"{key('shared@example.org')}|everything"] is None


@pytest.fixture(scope="module")
def pair(postgres_server: PostgresServer, places: Resolver) -> Iterator[tuple[World, World]]:
    """Two for many examples."""
    dsn = postgres_server.dsn()
    one = World(postgres_store(dsn), places, (0, 1))
    two = World(postgres_store(dsn), places, (2, 3))
    yield one, two
    one.store.close()
    two.store.close()


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(people=peoples(most=6), live=st.lists(rules, min_size=1, max_size=3), data=st.data())
def test_however_partitions_change_hands_membership_is_what_the_rules_say(
    pair: tuple[World, World], people: list[Someone], live: list[Rule], data: st.DataObject
) -> None:
    one, two = pair
    home = {0: one, 1: one, 2: two, 3: two}
    for world in pair:
        world.lose(*ALL)
    one.take(*ALL)
    one.use()
    one.clear()
    one.lose(*ALL)
    for partition, world in home.items():
        world.take(partition)
    named = {f"segment-{number}": rule for number, rule in enumerate(live)}
    for world in pair:
        world.clock.advance((AS_OF - world.clock.now()).total_seconds())
        world.use(**named)
    told = data.draw(st.permutations([said for someone in people for said in someone.told()]))
    for start in range(0, len(told), 3):
        moving = data.draw(st.sampled_from([None, *ALL]))
        if moving is not None:
            giver = home[moving]
            giver.lose(moving)
            taker = home[moving] = two if giver is one else one
            taker.take(moving)
            taker.use(**named)
        hear(list(pair), *told[start : start + 3])
        data.draw(st.sampled_from(pair)).sweep()
    everyone = [someone.supporter_id for someone in people]
    for days in (0.0, 1.0, 30.0):
        for world in pair:
            world.clock.advance(days * 86_400)
            world.sweep()
        for name, rule in named.items():
            expected = holding(one.connection, rule, one.clock.now(), everyone)
            assert one.belonging()[name] == expected


@given(seed=st.text(max_size=4), who=st.text(st.characters(codec="utf-8"), max_size=8))
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
def test_postgresql_draws_whom_we_draw(pair: tuple[World, World], seed: str, who: str) -> None:
    if "\x00" in who:
        who = who.replace("\x00", "-")
    database = pair[0].connection
    sql = f"select {samples.BUCKET} from (select cast(? as text) as supporter_id) s"
    ((drawn,),) = database.execute(sql, (samples.prefix(seed), who))
    assert drawn == samples.bucket(seed, who)


def test_a_partition_of_nobody_is_in_no_answer(instance: Opening) -> None:
    one = instance(0)
    hear([one], *(somebody(n) for n in range(20)))
    instance(1, 2, 3)
    everybody = AllOf(parts=(Sample(percent=100), EVERYONE))
    here = [n for n in range(20) if partition_of(person(n), PARTITIONS) == 0]
    assert one.count(everybody).matching == len(here)
    one.lose(0)
    assert one.count(everybody).matching == 0
    assert one.audience() == []
