"""Whose a hit was: what is enough alone, what takes two, and what a person may do unharmed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.classification.agents import FIRST
from shared.classification.signals import ALONE, MACHINES, Hit, Judgement, judge
from shared.programme.links import HIDDEN_LINK

DELIVERED = 1_000_000
LATER = DELIVERED + 600_000


def click(link: int = 0, at: int = LATER, name: str = "", **said: Any) -> Hit:
    said = {"kind": "clicked", "method": "GET", "words": "person", "visitor": "chrome", **said}
    return Hit(hit_id=name or f"{link}@{at}", at=at, link=link, **said)


def opening(at: int = LATER, **said: Any) -> Hit:
    return click(**{"link": None, "kind": "opened", "at": at, **said})


def judged(*hits: Hit, delivered_at: int | None = DELIVERED) -> list[Judgement]:
    found = judge(hits, delivered_at)
    return [found[hit.hit_id] for hit in hits]


def test_a_click_with_nothing_against_it_is_a_persons_and_leaves_no_question() -> None:
    assert judged(click()) == [Judgement("person")]


@pytest.mark.parametrize(
    ("hit", "reason"),
    [
        (click(words="scanner"), "names_itself"),
        (click(words="scanner", method="HEAD"), "method"),
        (click(HIDDEN_LINK, words="scanner"), "hidden_link"),
        (opening(words="prefetch"), "names_itself"),
    ],
)
def test_one_sign_is_enough_where_no_person_gives_it(hit: Hit, reason: str) -> None:
    (found,) = judged(hit)
    assert found.machine
    assert found.reasons == (reason,)
    assert reason in ALONE


def test_who_follows_the_hidden_link_is_a_machine_in_all_it_does_within_a_minute() -> None:
    near, far = click(1, LATER - 60_000), click(2, LATER + 60_001)
    other = click(1, LATER + 1_000, "other", visitor="phone")
    found = judged(click(HIDDEN_LINK, LATER, words="scanner"), near, far, other)
    assert [each.agent for each in found] == ["scanner", "scanner", "person", "person"]
    assert found[1].reasons == ("with_hidden_link",)


@pytest.mark.parametrize(
    ("hits", "reason"),
    [
        ([click(0, DELIVERED + 9_999)], "soon_after_delivery"),
        ([click(0, DELIVERED - 5_000)], "soon_after_delivery"),
        ([click(0, LATER), click(1, LATER + 2_000)], "many_links_at_once"),
        ([click(n, LATER + n * 5_000) for n in range(3)], "many_links_at_once"),
        ([click(words="unknown")], "agent_says_nothing"),
    ],
)
def test_one_sign_that_people_give_too_is_a_doubt_and_no_more(hits: list[Hit], reason: str) -> None:
    for found in judged(*hits):
        assert found.agent not in MACHINES
        assert found.reasons == (reason,)
        assert found.open_question


@pytest.mark.parametrize(
    "hits",
    [
        [click(0, DELIVERED + 1_000), click(1, DELIVERED + 1_500)],
        [click(n, DELIVERED - 4_000 + n * 4_000) for n in range(3)],
        [click(0, DELIVERED + 1_000, words="unknown")],
        [click(0, words="unknown"), click(1, LATER + 500, words="unknown")],
        [opening(DELIVERED + 1_200), click(0, DELIVERED + 1_000), click(1, DELIVERED + 1_500)],
    ],
)
def test_two_signs_make_a_machine(hits: list[Hit]) -> None:
    for found in judged(*hits):
        assert found.agent == "scanner"
        assert len(found.reasons) == 2


@pytest.mark.parametrize(
    "hits",
    [
        [click(0, LATER), click(0, LATER + 100, "again"), click(0, LATER + 200, "and again")],
        [click(0, LATER), click(1, LATER + 2_001)],
        [click(0, LATER), click(1, LATER + 6_000), click(2, LATER + 12_000)],
        [opening(LATER), click(0, LATER)],
        [click(0, DELIVERED + 10_000)],
    ],
)
def test_what_people_do_is_no_sign(hits: list[Hit]) -> None:
    assert {found.reasons for found in judged(*hits)} == {()}


def test_a_person_is_not_judged_by_what_a_scanner_of_the_same_mail_does() -> None:
    scan = [
        click(n, DELIVERED + 100 * n, f"scan-{n}", visitor="gateway")
        for n in (0, 1, 2, HIDDEN_LINK)
    ]
    mine = click(1, DELIVERED + 3_000, "mine")
    found = judge([*scan, mine], DELIVERED)
    assert found["mine"].agent == "person"
    assert {found[hit.hit_id].agent for hit in scan} == {"scanner"}


def test_without_word_of_the_delivery_the_question_stays_open() -> None:
    assert judged(click(), delivered_at=None) == [Judgement("person", open_question=True)]


def test_the_first_version_goes_by_words_alone() -> None:
    hits = [click(0, DELIVERED + 1), click(HIDDEN_LINK, DELIVERED + 2)]
    assert set(judge(hits, DELIVERED, FIRST).values()) == {Judgement("person")}
    with pytest.raises(KeyError):
        judge(hits, DELIVERED, 99)


moments = st.integers(DELIVERED - 20_000, DELIVERED + 200_000)
hits_of_a_mail = st.lists(
    st.builds(
        click,
        link=st.sampled_from([0, 1, 2, 3, HIDDEN_LINK]),
        at=moments,
        visitor=st.sampled_from(["a", "b"]),
        words=st.sampled_from(["person", "unknown", "scanner"]),
    ),
    max_size=12,
    unique_by=lambda hit: hit.hit_id,
)


@given(hits=hits_of_a_mail, seed=st.integers(0, 99))
def test_the_order_in_which_hits_are_known_does_not_matter(hits: list[Hit], seed: int) -> None:
    mixed = list(hits)
    random.Random(seed).shuffle(mixed)
    assert judge(mixed, DELIVERED) == judge(hits, DELIVERED)


@given(hits=hits_of_a_mail)
def test_knowing_more_never_makes_a_machine_a_person(hits: list[Hit]) -> None:
    for number in range(len(hits)):
        before, after = judge(hits[:number], DELIVERED), judge(hits[: number + 1], DELIVERED)
        for hit_id, found in before.items():
            assert set(found.reasons) <= set(after[hit_id].reasons)
            assert after[hit_id].machine or not found.machine
