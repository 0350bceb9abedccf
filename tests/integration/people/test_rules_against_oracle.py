"""The compiler says what a naive reader of the rules says, for every way of asking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.segmenter.people import samples
from services.segmenter.people.audience import holding
from services.segmenter.people.explaining import explain
from services.segmenter.people.rules_sql import Asked, compile_rule
from shared.programme.rules import (
    ActedOn,
    AllOf,
    AnyOf,
    Attribute,
    Did,
    Got,
    HasTag,
    InArea,
    NoneOf,
    Rule,
    Speaks,
)
from tests.integration.people.naive_rules import AS_OF, VALUES, Someone, holds, peoples, rules
from tests.integration.people.world import World, change, event, person

ONE_WORLD = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def found(world: World, rule: Rule, asked: Asked, as_of: datetime = AS_OF) -> set[str]:
    """Who the compiled rule means."""
    samples.teach(world.connection)
    condition = compile_rule(rule, as_of, asked)
    rows = world.connection.execute(
        f"select s.supporter_id from supporter s where {condition.sql}", condition.parameters
    )
    return {str(supporter_id) for (supporter_id,) in rows}


@ONE_WORLD
@given(people=peoples(), asked=st.lists(rules, min_size=1, max_size=6))
def test_compiled_and_naive_agree(
    shared_world: World, people: list[Someone], asked: list[Rule]
) -> None:
    shared_world.clear()
    shared_world.hear(*(said for someone in people for said in someone.told()))
    shared_world.settle()
    for rule in asked:
        expected = {someone.supporter_id for someone in people if holds(rule, someone, AS_OF)}
        for way in get_args(Asked):
            assert found(shared_world, rule, way) == expected


def test_every_value_is_compared_with_every_other_as_the_rule_says(world: World) -> None:
    people = [Someone(person(n), attributes={"age": value}) for n, value in enumerate(VALUES)]
    people.append(Someone(person(len(VALUES))))
    world.hear(*(said for someone in people for said in someone.told()))
    for comparison, value in product(("is", "is not", "<", "<=", ">", ">=", "in"), VALUES):
        rule = Attribute.model_validate(
            {"name": "age", "comparison": comparison, "values": (value,)}
        )
        expected = {someone.supporter_id for someone in people if holds(rule, someone, AS_OF)}
        for way in get_args(Asked):
            assert found(world, rule, way) == expected


@ONE_WORLD
@given(people=peoples(most=2), rule=rules)
def test_an_explanation_holds_exactly_when_its_rule_does(
    shared_world: World, people: list[Someone], rule: Rule
) -> None:
    shared_world.clear()
    shared_world.hear(*(said for someone in people for said in someone.told()))
    shared_world.settle()
    for someone in people:
        tree = explain(shared_world.connection, rule, someone.supporter_id, AS_OF)
        assert tree.holds == holds(rule, someone, AS_OF)


@pytest.mark.parametrize("asked", get_args(Asked))
def test_a_window_is_open_at_its_far_edge_and_closed_at_its_near_one(
    world: World, asked: Asked
) -> None:
    step = timedelta(milliseconds=1)
    edges = [AS_OF - timedelta(days=2), AS_OF - timedelta(days=2) + step, AS_OF, AS_OF + step]
    for number, moment in enumerate(edges):
        act = event("acted", person(number), action="pledged")
        world.hear(change(person(number)), act.model_copy(update={"at": moment}))
    within = Did(action="pledged", within_days=2)
    assert found(world, within, asked) == {person(1), person(2)}
    ever = Did(action="pledged")
    assert found(world, ever, asked) == {person(number) for number in range(4)}


@pytest.mark.parametrize("asked", get_args(Asked))
def test_at_least_so_many_actions_count_and_a_repeated_event_does_not(
    world: World, asked: Asked
) -> None:
    for number in range(4):
        world.hear(change(person(number)))
        for minute in range(number):
            act = world.delivery(event("acted", person(number), minute, action="signed"))
            world.hear(act, act)
    for at_least in (1, 2, 3):
        expected = {person(number) for number in range(at_least, 4)}
        assert found(world, Did(action="signed", at_least=at_least), asked) == expected
        in_time = Did(action="signed", at_least=at_least, within_days=1)
        assert found(world, in_time, asked) == expected


@pytest.mark.parametrize("asked", get_args(Asked))
def test_somebody_of_whom_nothing_is_known_is_in_none_of_anything(
    world: World, asked: Asked
) -> None:
    world.hear(change(person(1)))
    leaves: list[Rule] = [
        Speaks(languages=("en",)),
        InArea(kind="ward", codes=("W1", "")),
        Attribute(name="a", comparison="<", values=(1,)),
        Did(action="voted", within_days=1),
        Got(send="s"),
        ActedOn(send="s"),
    ]
    for leaf in leaves:
        assert found(world, leaf, asked) == set()
        assert found(world, NoneOf(parts=(leaf,)), asked) == {person(1)}


def test_a_thousand_areas_and_two_thousand_parts_can_be_asked(world: World) -> None:
    world.hear(
        change(person(1), given_areas={"ward": "W999"}, tags_added=("t1999",)),
        change(person(2), given_areas={"ward": "W1000"}),
    )
    wards = InArea(kind="ward", codes=tuple(f"W{number}" for number in range(1_000)))
    tags = AnyOf(parts=tuple(HasTag(tag=f"t{number}") for number in range(2_000)))
    for way in get_args(Asked):
        assert found(world, wards, way) == {person(1)}
        assert found(world, AllOf(parts=(wards, tags)), way) == {person(1)}
        assert found(world, NoneOf(parts=(wards, tags)), way) == {person(2)}


@pytest.mark.parametrize("asked", get_args(Asked))
def test_an_integer_beyond_64_bits_is_compared_as_the_nearest_real(
    world: World, asked: Asked
) -> None:
    world.hear(change(person(1), attributes={"n": 2**80}), change(person(2), attributes={"n": 5}))
    for comparison, value, expected in (
        ("is", 2**80, {person(1)}),
        (">", 10**400, set()),
        ("<", 10**400, {person(1), person(2)}),
        ("is not", float("nan"), {person(1), person(2)}),
        ("is", float("nan"), set()),
    ):
        rule = Attribute.model_validate({"name": "n", "comparison": comparison, "values": (value,)})
        assert found(world, rule, asked) == expected


def test_text_that_looks_like_code_stays_text(world: World) -> None:
    odd = """x' or 1=1 --"%_\\"""
    world.hear(change(person(1), tags_added=(odd,), attributes={odd: odd}, given_areas={odd: odd}))
    world.hear(change(person(2)))
    rule = AllOf(
        parts=(
            HasTag(tag=odd),
            Attribute(name=odd, comparison="is", values=(odd,)),
            InArea(kind=odd, codes=(odd,)),
        )
    )
    for way in get_args(Asked):
        assert found(world, rule, way) == {person(1)}
    assert holding(world.connection, rule, datetime.now(UTC), [person(1), person(2)]) == {person(1)}


def test_an_attribute_taken_back_is_absent(world: World) -> None:
    world.hear(change(person(1), attributes={"a": 1}))
    world.hear(change(person(1), 1, attributes={"a": None}))
    assert found(world, Attribute(name="a", comparison="exists"), "given") == set()
    is_not = Attribute(name="a", comparison="is not", values=(1,))
    assert found(world, is_not, "given") == {person(1)}
