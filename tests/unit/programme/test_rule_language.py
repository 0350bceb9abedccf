"""Rules are read as producers write them, and what is printed reads as the same tree."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.programme.printing import print_rule
from shared.programme.problems import ProgrammeErrors
from shared.programme.rule_language import parse_rule
from shared.programme.rules import (
    ActedOn,
    AllOf,
    AnyOf,
    Attribute,
    Clicked,
    Did,
    Got,
    HasTag,
    InArea,
    NoneOf,
    Opened,
    Rule,
    Sample,
    Speaks,
)

traps = ["no", "Yes", "null", "~", "1e3", "007", "12:30", "<<", "- a", "a: b", "#", "{{ x }}", "é"]
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | (
    st.sampled_from([*traps, "FK1 1", "street stall"])
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = words | st.just("") | st.booleans() | numbers
some_names = st.lists(words, min_size=1, max_size=30).map(tuple)
one_value = st.builds(
    Attribute,
    name=words,
    comparison=st.sampled_from(["is", "is not", "<", "<=", ">", ">="]),
    values=st.tuples(scalars),
)
leaves: st.SearchStrategy[Rule] = st.one_of(
    st.builds(InArea, kind=words, codes=some_names),
    st.builds(HasTag, tag=words),
    one_value,
    st.builds(
        Attribute,
        name=words,
        comparison=st.just("in"),
        values=st.lists(scalars, min_size=1, max_size=5).map(tuple),
    ),
    st.builds(Attribute, name=words, comparison=st.just("exists")),
    st.builds(Speaks, languages=some_names),
    st.builds(
        Did,
        action=words,
        at_least=st.integers(1, 10**6),
        within_days=st.none() | st.floats(0, 1e6, exclude_min=True),
    ),
    st.builds(Got, send=words, variant=st.none() | words),
    st.builds(Opened, send=words),
    st.builds(Clicked, send=words),
    st.builds(ActedOn, send=words, action=st.none() | words),
    st.builds(Sample, percent=st.floats(0, 100), seed=words | st.just("")),
)
rules: st.SearchStrategy[Rule] = st.recursive(
    leaves,
    lambda parts: st.builds(
        lambda kind, inner: kind(parts=tuple(inner)),
        st.sampled_from([AllOf, AnyOf, NoneOf]),
        st.lists(parts, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(rules)
def test_what_is_printed_reads_as_the_same_tree(rule: Rule) -> None:
    text = print_rule(rule)
    again = parse_rule(text)
    # Equality alone would take 1 for 1.0 and for true.
    assert again.model_dump_json() == rule.model_dump_json()
    assert print_rule(again) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("tag: supporter", HasTag(tag="supporter")),
        ("language: [en, no]", Speaks(languages=("en", "no"))),
        ("language: no", Speaks(languages=("no",))),
        (
            "area: {zip: [02139, 90210]}",
            InArea(kind="zip", codes=("02139", "90210")),
        ),
        ("area: {postcode_sector: FK1 1}", InArea(kind="postcode_sector", codes=("FK1 1",))),
        ('attribute: {age: {">=": 18}}', Attribute(name="age", comparison=">=", values=(18,))),
        ('attribute: {name: age, ">=": 18}', Attribute(name="age", comparison=">=", values=(18,))),
        ("attribute: {paid: true}", Attribute(name="paid", comparison="is", values=(True,))),
        (
            "attribute: {role: {is_not: steward}}",
            Attribute(name="role", comparison="is not", values=("steward",)),
        ),
        (
            "attribute: {joined: {'<': 2024-05-01}}",
            Attribute(name="joined", comparison="<", values=("2024-05-01",)),
        ),
        (
            "attribute: {age: {exists: no}}",
            NoneOf(parts=(Attribute(name="age", comparison="exists"),)),
        ),
        ("did: pledged", Did(action="pledged")),
        (
            "did: {action: pledged, at_least: 2, within_days: 90}",
            Did(action="pledged", at_least=2, within_days=90),
        ),
        ("did_not: voted", NoneOf(parts=(Did(action="voted"),))),
        ("got: {send: ask, variant: a}", Got(send="ask", variant="a")),
        ("not_got: ask", NoneOf(parts=(Got(send="ask"),))),
        ("not_opened: ask", NoneOf(parts=(Opened(send="ask"),))),
        ("not_clicked: ask", NoneOf(parts=(Clicked(send="ask"),))),
        ("acted: {send: ask, action: signed}", ActedOn(send="ask", action="signed")),
        ("sample: {percent: 12.5, seed: spring}", Sample(percent=12.5, seed="spring")),
        ("any: []", AnyOf(parts=())),
        (
            "all: [{tag: a}, {none: [{tag: b}]}]",
            AllOf(parts=(HasTag(tag="a"), NoneOf(parts=(HasTag(tag="b"),)))),
        ),
    ],
)
def test_producers_write_it_this_way(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("tagg: x", "1:1", 'did you mean "tag"?'),
        ("not_tag: x", "1:1", "write `none: [tag: ...]`"),
        ("all:\n  - did: {acton: x}", "2:11", 'did you mean "action"?'),
        ("all:\n  - did: {at_least: 2}", "2:10", "`action` is missing"),
        ("did: {action: x, at_least: 0}", "1:28", "must be at least 1"),
        ("did: {action: x, at_least: 1.5}", "1:28", "should be a whole number"),
        ("did: {action: x, within_days: soon}", "1:31", 'should be a number, and is "soon"'),
        ('attribute: {age: {"==": 18}}', "1:19", 'did you mean "is"?'),
        ('attribute: {age: {">": 18, "<": 20}}', "1:18", "compared in one way"),
        ("attribute: {age: {is: [1, 2]}}", "1:23", "write `in: [...]`"),
        ("attribute: {zip: 02139}", "1:18", "could be a number or text"),
        ("attribute: {paid: yes}", "1:19", 'write true, or "yes" in quotes'),
        ("attribute: {name: age}", "1:12", "name one attribute and compare it"),
        ("attribute: age", "1:12", "name one attribute and compare it"),
        ("attribute: {age: {in: []}}", "1:23", "`in` is empty"),
        ("language: [en, false]", "1:16", "Norwegian is no, not false"),
        ("language: []", "1:11", "`language` is empty"),
        ("area: {ward: [a], zip: [b]}", "1:7", "name one kind of area"),
        ("area: {ward: []}", "1:14", "`ward` is empty"),
        ("sample: 10", "1:9", "write `sample: {percent: 10, seed: spring}`"),
        ("sample: {percent: 120}", "1:19", "must be at most 100"),
        ("clicked: [a]", "1:10", "should be text, and is a list"),
        ("tag:", "1:5", "`tag` is empty"),
        ("all: {tag: x}", "1:6", "should be a list of conditions"),
        ("- tag: x", "1:1", "say `all:`, `any:` or `none:` above the list"),
        ("tag: x\nlanguage: en", "1:1", "several conditions in one place"),
        ("", "1:1", "no condition here"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, where: str, message: str) -> None:
    with pytest.raises(ProgrammeErrors) as caught:
        parse_rule(text, "rule.yaml")
    said = str(caught.value)
    assert message in said
    assert f"rule.yaml:{where}:" in said


def test_every_wrong_part_is_named_not_only_the_first() -> None:
    with pytest.raises(ProgrammeErrors) as caught:
        parse_rule("all:\n  - tagg: x\n  - tag: fine\n  - langage: en\n")
    assert [problem.line for problem in caught.value.problems] == [2, 4]


def test_long_lists_are_broken_into_lines() -> None:
    rule = AllOf(parts=(InArea(kind="ward", codes=tuple(f"W{n:05}" for n in range(99))),))
    text = print_rule(rule, indent=2)
    assert max(len(line) for line in text.splitlines()) <= 110
    assert text.startswith("  all:\n    - area: ")
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "rule",
    [
        Attribute(name="a", comparison="is"),
        Attribute(name="a", comparison="is", values=(1, 2)),
        Attribute(name="a", comparison="exists", values=(1,)),
        Attribute(name="a", comparison="is", values=(float("inf"),)),
    ],
)
def test_what_has_no_written_form_is_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        print_rule(rule)


@given(st.text(string.printable, max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(ProgrammeErrors):
        parse_rule(text)
