"""Rows of the spool: what goes in comes out, and what cannot be read says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.raw_hits import (
    ActionHit,
    LinkHit,
    Malformed,
    RawHit,
    SesHit,
    UnsubscribeHit,
    pack,
    unpack,
)
from shared.errors import NewerVersion
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


@given(hits)
def test_a_hit_comes_out_of_the_spool_as_it_went_in(hit: RawHit) -> None:
    assert unpack(pack(hit)) == hit


@pytest.mark.parametrize(
    "row", [None, b"", b"\xff\x00", b"{}", b"[1]", b'{"kind":"opened","at_ms":1}', b'{"kind":"x"}']
)
def test_a_row_that_is_no_hit_is_malformed(row: bytes | None) -> None:
    with pytest.raises(Malformed):
        unpack(row)


def test_a_row_of_a_newer_format_is_left_to_a_newer_tracker() -> None:
    with pytest.raises(NewerVersion, match="format 3"):
        unpack(b'{"kind":"hologram","format":3}')
