"""A segment's rule in plain words, and the branch that decides."""

from __future__ import annotations

import pytest

from services.console.phrases import Answered, culprit, in_words, phrase
from shared.programme.rule_language import parse_rule
from shared.programme.rules import AllOf, AnyOf, NoneOf, Rule


def answered(rule: Rule, holding: set[str], depth: int = 0) -> list[Answered]:
    """As the segmenter would tell of a rule, when the leaves in `holding` (by op) hold."""
    if not isinstance(rule, AllOf | AnyOf | NoneOf):
        return [Answered(rule.op, rule.op in holding, f"the fact of {rule.op}", depth)]
    below = [answered(part, holding, depth + 1) for part in rule.parts]
    held = [part[0].holds for part in below]
    holds = {"all": all(held), "any": any(held), "none": not any(held)}[rule.op]
    return [Answered(rule.op, holds, "", depth), *(one for part in below for one in part)]


FOLLOW_UP = parse_rule("all: [{clicked: volunteer-ask}, {did_not: volunteered}]")


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        ("clicked: ask", "has clicked ask", "has not clicked ask"),
        ("got: {send: ask, variant: b}", "got ask (variant b)", "did not get ask (variant b)"),
        ("tag: member", "tagged member", "not tagged member"),
        ("area: {ward: [W1, W2]}", "in ward W1 or W2", "not in ward W1 or W2"),
        (
            "area: {postcode_sector: [A, B, C, D, E]}",
            "in one of 5 areas (postcode sector)",
            "in none of 5 areas (postcode sector)",
        ),
        (
            "did: {action: canvassed, at_least: 2, within_days: 30}",
            "has canvassed at least 2 times in the last 30 days",
            "has not canvassed at least 2 times in the last 30 days",
        ),
        ('attribute: {age: {">=": 18}}', "age is at least 18", "age is below 18"),
        ("attribute: {age: {exists: true}}", "age is known", "age is not known"),
        ("language: [gd, en]", "speaks gd or en", "does not speak gd or en"),
        ("sample: {percent: 36}", "in the random sample of 36%", "not in the random sample of 36%"),
        ("acted: {send: ask}", "has acted after ask", "has not acted after ask"),
    ],
)
def test_a_fact_is_said_as_it_is(rule: str, yes: str, no: str) -> None:
    assert (phrase(parse_rule(rule), True), phrase(parse_rule(rule), False)) == (yes, no)


def test_the_branch_that_is_missing_decides() -> None:
    tree = in_words(FOLLOW_UP, answered(FOLLOW_UP, set()))
    assert culprit(tree) == "has not clicked volunteer-ask (the fact of clicked)"


def test_a_branch_that_should_not_hold_decides_under_none() -> None:
    tree = in_words(FOLLOW_UP, answered(FOLLOW_UP, {"clicked", "did"}))
    assert culprit(tree) == "has volunteered (the fact of did)"
    assert [branch.as_wanted for branch in tree] == [False, True, False, False]


def test_nothing_decides_against_whom_the_segment_means() -> None:
    tree = in_words(FOLLOW_UP, answered(FOLLOW_UP, {"clicked"}))
    assert culprit(tree) == ""
    assert all(branch.as_wanted for branch in tree)


def test_all_ways_in_are_named_when_none_is_open() -> None:
    rule = parse_rule("any: [{did: pledged}, {tag: member}]")
    said = culprit(in_words(rule, answered(rule, set())))
    assert said == "has not pledged (the fact of did) and not tagged member (the fact of tag)"


def test_none_within_none_is_wanted_again() -> None:
    rule = parse_rule("none: [{none: [{tag: member}]}]")
    tree = in_words(rule, answered(rule, set()))
    assert culprit(tree) == "not tagged member (the fact of tag)"


def test_another_rule_than_was_asked_about_leaves_the_segmenters_own_words() -> None:
    told = answered(FOLLOW_UP, set())
    tree = in_words(parse_rule("tag: member"), told)
    assert [branch.text for branch in tree] == [each.text for each in told]
    assert in_words(None, told) == tree
