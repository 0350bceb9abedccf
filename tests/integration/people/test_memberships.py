"""Live segments follow their people: who entered, who left, and why."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.segmenter.people.audience import holding
from shared.clock import to_ms
from shared.log.record import Headers, Record
from shared.log.topics import MEMBERSHIPS
from shared.programme.rules import (
    AllOf,
    Attribute,
    Clicked,
    Did,
    HasTag,
    InArea,
    NoneOf,
    Rule,
    Sample,
)
from shared.store.port import Unit
from tests.integration.people.naive_rules import AS_OF, Someone, peoples, rules
from tests.integration.people.world import Overheard, World, at, change, event, person

ADA, BEN = person(1), person(2)


def test_a_new_segment_is_seeded_without_a_word(world: World) -> None:
    world.hear(change(ADA, tags_added=("a",)), change(BEN))
    world.use(tagged=HasTag(tag="a"))
    assert world.belonging() == {"tagged": {ADA}}
    assert world.moves() == []


def test_who_enters_and_leaves_is_said_with_the_cause(world: World) -> None:
    world.use(tagged=HasTag(tag="a"))
    world.hear(world.delivery(change(ADA, tags_added=("a",)), "import-1"))
    world.hear(world.delivery(change(ADA, 1, tags_removed=("a",)), "import-2"))
    assert world.moves() == [
        ("tagged", ADA, "entered", "import-1"),
        ("tagged", ADA, "left", "import-2"),
    ]
    assert world.belonging() == {"tagged": set()}


def test_the_same_batch_again_moves_nobody(world: World) -> None:
    world.use(tagged=HasTag(tag="a"), pledged=Did(action="pledged"))
    batch = [
        world.delivery(change(ADA, tags_added=("a",))),
        world.delivery(event("acted", ADA, action="pledged")),
    ]
    world.hear(*batch)
    moves = world.moves()
    world.hear(*batch)
    assert world.moves() == moves
    assert len(moves) == 2


def test_an_event_moves_people_by_what_they_did(world: World) -> None:
    world.use(clickers=Clicked(send="s1"), quiet=NoneOf(parts=(Clicked(send="s1"),)))
    world.hear(change(ADA), change(BEN))
    assert world.belonging() == {"clickers": set(), "quiet": {ADA, BEN}}
    world.hear(world.delivery(event("clicked", ADA, 5, send_id="s1", agent="person"), "click"))
    world.hear(event("clicked", BEN, 5, send_id="s1", agent="scanner"))
    world.settle()
    assert world.belonging() == {"clickers": {ADA}, "quiet": {BEN}}
    assert ("quiet", ADA, "left", "click") in world.moves()


def test_an_edited_segment_is_seeded_anew_without_a_word(world: World) -> None:
    world.hear(change(ADA, tags_added=("a",)), change(BEN, tags_added=("b",)))
    world.use(people=HasTag(tag="a"))
    world.use(people=HasTag(tag="b"))
    assert world.belonging() == {"people": {BEN}}
    assert world.moves() == []
    world.hear(change(ADA, 1, tags_added=("b",)))
    assert [move[:3] for move in world.moves()] == [("people", ADA, "entered")]


def test_a_segment_that_is_gone_is_forgotten(world: World) -> None:
    world.hear(change(ADA, tags_added=("a",)))
    world.use(one=HasTag(tag="a"), two=HasTag(tag="a"))
    world.use(two=HasTag(tag="a"))
    assert world.belonging() == {"two": {ADA}}
    world.hear(change(ADA, 1, tags_removed=("a",)))
    assert [move[0] for move in world.moves()] == ["two"]


def test_one_segment_that_cannot_be_asked_does_not_stop_the_others(world: World) -> None:
    world.hear(change(ADA, tags_added=("a",)))
    world.use(broken=Attribute(name="age", comparison="<"), good=HasTag(tag="a"))
    assert world.belonging() == {"good": {ADA}}


def test_a_segment_edited_into_one_that_cannot_be_asked_is_not_live(world: World) -> None:
    world.hear(change(ADA, tags_added=("a",)))
    world.use(people=HasTag(tag="a"))
    world.use(people=Attribute(name="age", comparison="<"))
    assert world.belonging() == {}


def test_another_process_goes_on_with_the_segments_of_the_store(world: World) -> None:
    segments = {"tagged": HasTag(tag="a"), "sampled": Sample(percent=99.9, seed="x")}
    world.use(**segments)
    world.restart()
    world.clock.advance(60)
    world.use(**segments)
    assert set(world.connection.execute("select distinct seeded_at from live_segment")) == {
        (to_ms(at(1_000)),)
    }
    world.hear(change(ADA, tags_added=("a",)))
    assert world.belonging() == {"tagged": {ADA}, "sampled": {ADA}}


def test_membership_is_what_the_rule_says_whether_mailable_or_not(world: World) -> None:
    world.use(tagged=HasTag(tag="a"))
    world.hear(change(ADA, tags_added=("a",)), event("unsubscribed", ADA, 1))
    assert world.belonging() == {"tagged": {ADA}}


def test_time_alone_moves_people_once_and_with_its_own_cause(world: World) -> None:
    world.use(lately=Did(action="pledged", within_days=1), silent=recently_silent())
    world.hear(change(ADA), event("acted", ADA, 0, action="pledged"))
    assert world.belonging() == {"lately": {ADA}, "silent": set()}
    assert world.sweep() == 0
    world.clock.advance(86_400)
    assert world.sweep() == 2
    assert world.belonging() == {"lately": set(), "silent": {ADA}}
    cause = f"sweep:{world.clock.now().isoformat()}"
    assert world.moves()[-2:] == [
        ("lately", ADA, "left", cause),
        ("silent", ADA, "entered", cause),
    ]
    assert world.sweep() == 0


def recently_silent() -> Rule:
    return NoneOf(parts=(Did(action="pledged", within_days=1),))


def test_an_action_dated_ahead_counts_when_its_time_has_come(world: World) -> None:
    world.use(lately=Did(action="rsvped", within_days=1))
    world.hear(change(ADA), event("acted", ADA, 1_010, action="rsvped"))
    assert world.belonging() == {"lately": set()}
    world.clock.advance(600)
    world.sweep()
    assert world.belonging() == {"lately": {ADA}}


def test_a_sweep_leaves_the_people_of_others_alone_until_they_are_owned(world: World) -> None:
    world.use(lately=Did(action="pledged", within_days=1))
    for number in range(20):
        world.hear(change(person(number)), event("acted", person(number), action="pledged"))
    world.clock.advance(86_400 * 3)
    first = world.sweep(owned=[0, 1])
    assert 0 < first < 20
    assert world.sweep(owned=[0, 1]) == 0
    assert first + world.sweep() == 20
    assert world.belonging() == {"lately": set()}


def test_a_change_outside_what_a_segment_looks_at_does_not_ask_it(sqlite_world: World) -> None:
    world = sqlite_world
    world.use(tagged=HasTag(tag="a"))
    world.hear(change(ADA, tags_added=("a",)))
    with Overheard(world) as overheard:
        world.hear(
            world.delivery(event("accepted", ADA, 1, send_id="s1")),
            world.delivery(change(ADA, 1, profile={"first_name": "Ada"})),
        )
    assert not [sql for sql, _ in overheard.statements if "membership" in sql]


def test_what_may_have_changed_is_told_with_the_last_record_about_each(world: World) -> None:
    world.hear(change(ADA), change(BEN))
    touched = world.hear(
        world.delivery(event("accepted", ADA, 1, send_id="s1"), "sent"),
        world.delivery(change(ADA, 1, tags_added=("a",)), "tagged"),
        world.delivery(event("delivered", BEN, 1), "delivered"),
    )
    assert touched == {ADA: "tagged"}


def test_each_move_has_an_id_that_a_second_making_would_give_again(world: World) -> None:
    world.use(tagged=HasTag(tag="a"))
    delivery = world.delivery(change(ADA, tags_added=("a",)), "import-1")
    try:
        with world.store.unit() as unit:
            listening = Listening(unit)
            world.people.handle(listening, [delivery])
            raise TimeoutError
    except TimeoutError:
        world.restart()
        world.use(tagged=HasTag(tag="a"))
    world.hear(delivery)
    assert [record.headers for record in world.said(MEMBERSHIPS)] == listening.headers
    (record,) = world.said(MEMBERSHIPS)
    assert json.loads(record.value or b"")["segment_version"]


class Listening:
    """A unit, and the headers of what is emitted in it."""

    def __init__(self, unit: Unit) -> None:
        self.connection, self._unit = unit.connection, unit
        self.headers: list[Headers] = []

    def emit(self, partition: int, record: Record) -> None:
        self.headers.append(record.headers)
        self._unit.emit(partition, record)


FACTS = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FACTS
@given(people=peoples(most=3), live=st.lists(rules, min_size=1, max_size=5), data=st.data())
def test_after_any_batches_and_sweeps_the_live_segments_say_what_their_rules_say(
    shared_world: World, people: list[Someone], live: list[Rule], data: st.DataObject
) -> None:
    """However people came to be what they are, and though only what seems touched is asked."""
    world = shared_world
    world.clear()
    world.clock.advance((AS_OF - world.clock.now()).total_seconds())
    named = {f"segment-{number}": rule for number, rule in enumerate(live)}
    world.use(**named)
    told = data.draw(st.permutations([said for someone in people for said in someone.told()]))
    told += [change(someone.supporter_id, 9, tags_removed=("a",)) for someone in people]
    for start in range(0, len(told), 3):
        world.hear(*told[start : start + 3])
    everyone = [someone.supporter_id for someone in people]
    for days in (0.0, 1.0, 1.5, 30.0):
        world.clock.advance(days * 86_400)
        world.sweep()
        for name, rule in named.items():
            assert world.belonging()[name] == holding(
                world.connection, rule, world.clock.now(), everyone
            )
    assert replayed(world.moves()) == {n: m for n, m in world.belonging().items() if m}


def replayed(moves: list[tuple[str, str, str, str]]) -> dict[str, set[str]]:
    """Who belongs where, by what was said alone."""
    belonging: dict[str, set[str]] = {}
    for segment, supporter_id, moved, _ in moves:
        members = belonging.setdefault(segment, set())
        assert (supporter_id in members) == (moved == "left")
        members.symmetric_difference_update({supporter_id})
    return {segment: members for segment, members in belonging.items() if members}


def test_asking_about_the_changed_never_reads_everyone(sqlite_world: World) -> None:
    world = sqlite_world
    world.use(
        mixed=AllOf(parts=(InArea(kind="ward", codes=("W1",)), Did(action="x"), HasTag(tag="a")))
    )
    for number in range(50):
        world.hear(change(person(number), given_areas={"ward": "W1"}, tags_added=("a",)))
    world.connection.execute("analyze")
    with Overheard(world) as overheard:
        world.hear(event("acted", person(3), action="x"))
    assert [sql for sql, _ in overheard.statements if "from membership" in sql]
    listed = {"json_each", "s", "asked_supporter", "temp.asked_supporter"}
    assert {name.split()[0] for name in overheard.scanned()} <= listed


def test_somebody_asked_about_before_they_are_known_holds_nobody_up(world: World) -> None:
    """A known supporter whom time has moved meanwhile is in the batch too."""
    world.use(lately=Did(action="pledged", within_days=1), voted=Did(action="voted"))
    world.hear(change(ADA), event("acted", ADA, action="pledged"))
    world.clock.advance(86_400 * 2)
    world.hear(change(ADA, 1, tags_added=("a",)), event("acted", BEN, 1, action="pledged"))
    assert world.belonging() == {"lately": {ADA}, "voted": set()}
    world.sweep()
    assert world.belonging() == {"lately": set(), "voted": set()}
