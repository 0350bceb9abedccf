"""Any spelling of a postcode reads back as that postcode, and a refusal says what is wrong."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.people.places.postcode import (
    LONDON_AREAS_WITH_LETTERED_DISTRICTS,
    ONE_LETTER_AREAS,
    TWO_LETTER_AREAS,
    MalformedPostcode,
    Postcode,
    parse,
)

AREAS = sorted(ONE_LETTER_AREAS | TWO_LETTER_AREAS)
NUMBERED = [f"{area}{number}" for area in AREAS for number in range(1, 100)]
ZEROS = [f"{area}0" for area in sorted(TWO_LETTER_AREAS)]
LETTERED = [
    f"{area}{number}{letter}"
    for area in LONDON_AREAS_WITH_LETTERED_DISTRICTS
    for number in range(1, 10)
    for letter in "ABCDEFGHJKMNPRSTUVWXY"
]
DISTRICTS = [*NUMBERED, *ZEROS, *LETTERED, "GIR", "NPT"]
CONFUSED = {"0": "O", "O": "0", "1": "I", "I": "1"}

unit_letters = st.sampled_from("ABDEFGHJLNPQRSTUWXYZ")
postcodes = st.builds(
    lambda district, digit, first, second: Postcode(district, f"{digit}{first}{second}"),
    st.sampled_from(DISTRICTS),
    st.sampled_from("0123456789"),
    unit_letters,
    unit_letters,
)
separators = st.text(" \t\n.-_'\"\u00a0\u2009\u200b\u2013\u2212\ufeff", max_size=3)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[Postcode, str]:
    """A postcode, and the same with separators, case, width and look-alikes at random."""
    postcode = draw(postcodes)
    typed = draw(separators)
    for character in postcode.outward + postcode.inward:
        shown = CONFUSED[character] if character in CONFUSED and draw(st.booleans()) else character
        form = draw(st.sampled_from(["as it is", "lower", "full width"]))
        if form == "lower":
            shown = shown.lower()
        elif form == "full width":
            shown = chr(ord(shown) + 0xFEE0)
        typed += shown + draw(separators)
    return postcode, typed


@given(spellings())
def test_any_spelling_reads_back_as_the_postcode_it_spells(case: tuple[Postcode, str]) -> None:
    postcode, typed = case
    assert parse(typed) == postcode


@given(postcodes)
def test_the_canonical_spelling_is_its_own_canonical_spelling(postcode: Postcode) -> None:
    assert parse(postcode.canonical).canonical == postcode.canonical
    assert str(postcode) == postcode.canonical


@given(st.text(max_size=12))
def test_any_text_is_a_postcode_or_is_refused_with_a_reason(text: str) -> None:
    try:
        postcode = parse(text)
    except MalformedPostcode as malformed:
        reason = malformed.reason
    else:
        reason = ""
        assert parse(postcode.canonical) == postcode
    assert reason or postcode.canonical


def test_no_district_can_be_taken_for_another_through_look_alikes() -> None:
    for district in DISTRICTS:
        swaps = [(c, CONFUSED[c]) if c in CONFUSED else (c,) for c in district]
        for swap in itertools.product(*swaps):
            assert parse("".join(swap) + "1AA").outward == district


@pytest.mark.parametrize(
    "typed", ["fk2 7aa", "FK27AA", " fk2-7aa ", "f.k.2.7.a.a", "FK2  7AA\u00a0"]
)
def test_the_spellings_people_use_all_read_alike(typed: str) -> None:
    postcode = parse(typed)
    assert (postcode.canonical, postcode.area, postcode.district, postcode.sector) == (
        "FK2 7AA",
        "FK",
        "FK2",
        "FK2 7",
    )


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("FK2 OAA", "FK2 0AA"),
        ("FKI IAA", "FK1 1AA"),
        ("S014 3AA", "SO14 3AA"),
        ("0X1 1AA", "OX1 1AA"),
        ("1P1 1AA", "IP1 1AA"),
        ("EI4 5AA", "E14 5AA"),
        ("SE1O 8AA", "SE10 8AA"),
        ("GIR OAA", "GIR 0AA"),
    ],
)
def test_a_look_alike_is_mended_where_its_place_leaves_no_doubt(typed: str, canonical: str) -> None:
    assert parse(typed).canonical == canonical


@pytest.mark.parametrize(
    ("typed", "area", "district", "sector"),
    [
        ("M1 1AA", "M", "M1", "M1 1"),
        ("EC1A 1BB", "EC", "EC1A", "EC1A 1"),
        ("W1A 0AX", "W", "W1A", "W1A 0"),
        ("CR0 2YR", "CR", "CR0", "CR0 2"),
        ("BT1 1AA", "BT", "BT1", "BT1 1"),
        ("GIR 0AA", "GIR", "GIR", "GIR 0"),
        ("NPT 0VA", "NPT", "NPT", "NPT 0"),
    ],
)
def test_every_form_falls_into_its_parts(typed: str, area: str, district: str, sector: str) -> None:
    postcode = parse(typed)
    assert (postcode.area, postcode.district, postcode.sector) == (area, district, sector)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "the field is blank"),
        (" \u00a0-\t", "the field is blank"),
        ("FK", "'FK' is an area, not a whole postcode"),
        ("FK2", "'FK2' is a district, not a whole postcode"),
        ("EC1A", "'EC1A' is a district, not a whole postcode"),
        ("FK2 7", "'FK27' is a district or a sector, not a whole postcode"),
        ("FK10 1", "'FK101' is a sector, not a whole postcode"),
        ("FK2 7A", "'FK27A' is a postcode short of its last letter, not a whole postcode"),
        ("90210", "begins with one or two letters"),
        ("Q1", "'Q1' is too short"),
        ("FK2 7AA FK2 7AB", "12 letters and digits"),
        ("FK2 7AA (home)", "not '('"),
        ("FK2 7Aß", "not 'ß'"),
        ("AA1 1AA", "there is no postcode area 'AA'"),
        ("B01 1AA", "there can be no district 'B01'"),
        ("M1A 1AA", "there can be no district 'M1A'"),
        ("S0 1AA", "there can be no district 'S0'"),
        ("FK 7AA", "the number of the district is missing after 'FK'"),
        ("FK2 7OO", "the last two letters are never"),
        ("FK2 7A8", "a postcode ends in a digit and two letters, and here is '7A8'"),
    ],
)
def test_a_refusal_says_what_is_wrong(typed: str, reason: str) -> None:
    with pytest.raises(MalformedPostcode) as refusal:
        parse(typed)
    assert reason in refusal.value.reason
