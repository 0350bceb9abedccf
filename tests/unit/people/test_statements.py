"""Changes are read into clean statements; what cannot be kept is refused with a sentence."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.people.statements import Refused, Statement, read_statement
from shared.ids import address_key
from shared.wire.supporters import AttributeValue, Consent, ExternalIdentity
from tests.unit.people.stating import SECRET, at, change, statement


def test_an_address_gets_one_spelling_and_its_key() -> None:
    stated = statement(profile={"email": "  Ada+Crew@EXAMPLE.org "})
    assert stated.fields["email"] == "ada+crew@example.org"
    assert stated.address_key == address_key("ada+crew@example.org", SECRET)


def test_a_bad_address_is_kept_as_it_stands_without_a_key() -> None:
    stated = statement(profile={"email": "ada at example"})
    assert stated.fields["email"] == "ada at example"
    assert stated.address_key is None


def test_a_line_end_in_a_name_becomes_a_space() -> None:
    stated = statement(profile={"first_name": "Ada\r\nBcc: all@example.org", "last_name": " \t "})
    assert stated.fields == {"first_name": "Ada Bcc: all@example.org", "last_name": None}


def test_unknown_profile_fields_are_left_out() -> None:
    assert statement(profile={"shoe_size": "38"}).fields == {}


def test_a_tag_both_added_and_removed_is_removed() -> None:
    assert statement(tags_added=("a", "b"), tags_removed=("b",)).tags == {"a": True, "b": False}


def test_an_integer_beyond_64_bits_becomes_the_nearest_real() -> None:
    kept = statement(attributes={"n": 2**70}).attributes["n"]
    assert kept == float(2**70)
    assert isinstance(kept, float)


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"attributes": {"n": float("nan")}}, "attribute n: it is not a finite number"),
        ({"attributes": {"n": float("inf")}}, "not a finite number"),
        ({"attributes": {"n": 10**400}}, "too large"),
        ({"attributes": {"n": "x" * 10_001}}, "longer than 10000"),
        ({"attributes": {" ": 1}}, "an attribute's name is empty"),
        ({"tags_added": ("",)}, "a tag is empty"),
        ({"tags_added": ("t" * 201,)}, "a tag is longer than 200"),
        ({"profile": {"first_name": "x" * 1_001}}, "first_name is longer than 1000"),
        ({"given_areas": {"": "W1"}}, "an area's kind is empty"),
        ({"identity": ExternalIdentity(source="crm", external_id="")}, "the external id is empty"),
        ({"consent": Consent(wording=" ", source="form", at=at(0))}, "no wording"),
        ({"supporter_id": ""}, "the supporter's id is empty"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_sentence(stated: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        statement(**stated)


def test_a_statement_from_the_future_is_refused_because_it_would_win_for_ever() -> None:
    with pytest.raises(Refused, match="more than a day ahead"):
        read_statement(change(minutes=2 * 24 * 60), SECRET, at(0))
    read_statement(change(minutes=60), SECRET, at(0))


def test_a_time_without_its_zone_is_refused() -> None:
    naive = change().model_copy(update={"at": datetime(2026, 5, 7, 12, 0)})  # noqa: DTZ001
    with pytest.raises(Refused, match="without its zone"):
        read_statement(naive, SECRET, at(0))


def test_no_refusal_quotes_an_address() -> None:
    with pytest.raises(Refused) as refused:
        statement(profile={"email": "ada@example.org" + "x" * 2_000})
    assert "@" not in str(refused.value)


texts = st.text(st.characters(codec="utf-8"), max_size=30)
values: st.SearchStrategy[AttributeValue] = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts
)


@given(
    st.dictionaries(st.sampled_from(("email", "first_name", "postcode", "other")), texts),
    st.dictionaries(texts, values, max_size=3),
    st.lists(texts, max_size=3),
)
def test_any_text_at_all_is_cleaned_or_refused(
    profile: dict[str, str], attributes: dict[str, AttributeValue], tags: list[str]
) -> None:
    try:
        stated = statement(profile=profile, attributes=attributes, tags_added=tuple(tags))
    except Refused:
        return
    for text in everything_in(stated):
        text.encode()
        assert not any(ch < " " or "\x7f" <= ch <= "\x9f" for ch in text)


def everything_in(stated: Statement) -> list[str]:
    parts = [*stated.fields.values(), *stated.tags, *stated.attributes, *stated.attributes.values()]
    return [part for part in parts if isinstance(part, str)]
