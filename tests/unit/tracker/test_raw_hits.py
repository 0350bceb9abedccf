"""Rows of the spool: what goes in comes out, and what cannot be read says so."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.intake import shown_user_agent
from services.tracker.raw_hits import (
    ActionHit,
    Bearer,
    LinkHit,
    Malformed,
    RawHit,
    SesHit,
    UnsubscribeHit,
    pack,
    pack_link_hit,
    pack_row,
    unpack_row,
)
from shared.errors import NewerVersion
from shared.tokens import Token, edition_hash, send_hash
from tests.unit.tracker.building import BEN, bearer

times = st.integers(min_value=0, max_value=2**45)
texts = st.text(max_size=80)
hits: st.SearchStrategy[RawHit] = st.one_of(
    st.builds(
        LinkHit, kind=st.sampled_from(["opened", "clicked"]), at_ms=times,
        bearer=st.just(bearer()), link=st.none() | st.integers(0, 99),
        method=st.sampled_from(["GET", "HEAD"]), user_agent=st.none() | texts,
    ),
    st.builds(UnsubscribeHit, at_ms=times, bearer=st.just(bearer()), one_click=st.booleans()),
    st.builds(
        ActionHit, at_ms=times, received_ms=times, key_hash=texts, action=texts,
        supporter_id=st.just(BEN), bearer=st.none() | st.just(bearer()), email=st.none() | texts,
        properties=st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts),
    ),
    st.builds(SesHit, at_ms=times, text=texts),
)  # fmt: skip


@given(
    st.sampled_from(["opened", "clicked"]), times, st.uuids(), st.integers(0, 2**32 - 1),
    st.integers(0, 255), st.none() | st.integers(0, 9999), st.sampled_from(["GET", "HEAD"]),
    st.none() | st.binary(max_size=600),
)  # fmt: skip
def test_a_link_hit_packed_the_short_way_is_the_same_row(
    kind: Any, at_ms: int, supporter: UUID, occurrence: int, variant: int, link: int | None,
    method: str, header: bytes | None,
) -> None:  # fmt: skip
    token = Token(str(supporter), send_hash("a"), occurrence, variant, edition_hash("b"))
    agent = shown_user_agent(header)
    hit = LinkHit(
        kind=kind, at_ms=at_ms, bearer=Bearer.of(token), link=link, method=method, user_agent=agent
    )
    row = pack_link_hit(kind, at_ms, token, link, method, agent)
    assert unpack_row(row) == [hit]
    assert json.loads(row) == json.loads(pack(hit))


@given(st.lists(hits, min_size=1, max_size=5))
def test_hits_come_out_of_the_spool_as_they_went_in(several: list[RawHit]) -> None:
    assert unpack_row(pack_row([pack(hit) for hit in several])) == several


@pytest.mark.parametrize(
    "row", [None, b"", b"\xff\x00", b"{}", b"[1]", b'{"kind":"opened","at_ms":1}', b'{"kind":"x"}']
)
def test_a_row_that_is_no_hit_is_malformed(row: bytes | None) -> None:
    (found,) = unpack_row(row)
    assert isinstance(found, Malformed)
    assert found.text == (row or b"")


def test_what_is_no_hit_spoils_no_other_of_its_row() -> None:
    good = SesHit(at_ms=1, text="\u00e9")
    row = pack_row([pack(good), '{"kind":"\u00e9"}'.encode(), b"7", pack(good)])
    first, second, third, fourth = unpack_row(row)
    assert first == fourth == good
    assert isinstance(second, Malformed)
    assert isinstance(third, Malformed)
    assert (json.loads(second.text), third.text) == ({"kind": "\u00e9"}, b"7")


@pytest.mark.parametrize(
    ("row", "number"),
    [
        (b'{"kind":"hologram","format":3}', 3),
        (b'{"format":4,"pages":[]}', 4),
        (b'{"format":4,"hits":[]}', 4),
        (b'{"format":3,"hits":[{"kind":"hologram","format":5}]}', 5),
    ],
)
def test_what_is_of_a_newer_format_is_left_to_a_newer_tracker(row: bytes, number: int) -> None:
    with pytest.raises(NewerVersion, match=f"format {number}"):
        unpack_row(row)
