"""Whether a supporter may be mailed: the first reason of a fixed order."""

from __future__ import annotations

from functools import reduce
from typing import get_args

import pytest

from services.segmenter.people.profiles import (
    NOBODY_YET,
    Profile,
    fold,
    fold_bounce,
    fold_complaint,
    fold_unsubscribe,
)
from services.segmenter.people.standing import MEANING, Standing, address_flags, standing_of
from services.segmenter.people.statements import Statement
from tests.unit.people.stating import consent, statement


def profile_of(*statements: Statement) -> Profile:
    return reduce(fold, statements, NOBODY_YET)


def test_consent_and_an_address_make_mailable() -> None:
    profile = profile_of(statement(profile={"email": "ada@example.org"}, consent=consent()))
    assert standing_of(profile) == "mailable"
    assert address_flags(profile) == []


def test_without_consent_they_are_kept_and_not_mailable() -> None:
    assert standing_of(profile_of(statement(profile={"email": "a@example.org"}))) == "no_consent"


def test_without_an_address_they_are_kept_and_not_mailable() -> None:
    assert standing_of(profile_of(statement(consent=consent()))) == "no_address"


def test_a_bad_address_is_flagged_with_what_is_wrong() -> None:
    profile = profile_of(statement(profile={"email": "ada at example"}, consent=consent()))
    assert standing_of(profile) == "bad_address"
    assert address_flags(profile) == ["bad address: no name@domain"]


@pytest.mark.parametrize("local", ["abuse", "postmaster", "noreply", "No-Reply", "noreply+spring"])
def test_some_addresses_are_never_mailed(local: str) -> None:
    profile = profile_of(statement(profile={"email": f"{local}@example.org"}, consent=consent()))
    assert standing_of(profile) == "never_mailed"


def test_the_address_of_a_post_is_mailed_but_flagged() -> None:
    profile = profile_of(statement(profile={"email": "info@example.org"}, consent=consent()))
    assert standing_of(profile) == "mailable"
    assert address_flags(profile) == ["a role, not a person"]


def test_the_first_of_several_reasons_is_named() -> None:
    profile = profile_of(statement(profile={"email": "ada@example.org"}))
    profile = fold_bounce(profile, 10**15, 10**15)
    assert standing_of(profile) == "bounced"
    profile = fold_unsubscribe(profile, 1)
    assert standing_of(profile) == "unsubscribed"
    profile = fold_complaint(profile, 1)
    assert standing_of(profile) == "complained"


def test_every_standing_has_its_sentence() -> None:
    assert set(MEANING) == set(get_args(Standing))
