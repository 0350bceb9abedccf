"""Random shares: stable, exact, and as the rule tree defines them."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.people import samples


def in_sample(percent: float, seed: str, supporter_id: str) -> bool:
    """The definition, word by word (shared.programme.rules.Sample)."""
    first = sha256(seed.encode() + b"\x00" + supporter_id.encode()).digest()[:8]
    return int.from_bytes(first, "big") / 2**64 < percent / 100


def selected(percent: float, bucket: int) -> bool:
    end = samples.below(percent)
    return end is None or bucket < end


@given(st.floats(0, 100), st.text(max_size=3), st.uuids().map(str))
def test_the_bucket_says_what_the_definition_says(percent: float, seed: str, who: str) -> None:
    assert selected(percent, samples.bucket(seed, who)) == in_sample(percent, seed, who)


@given(st.floats(0, 100), st.integers(-3, 3))
def test_the_end_of_a_share_is_exact_to_the_last_position(percent: float, off: int) -> None:
    position = min(max(int(percent / 100 * 2**64) + off, 0), 2**64 - 1)
    expected = position / 2**64 < percent / 100
    assert selected(percent, position - 2**63) == expected


def test_nobody_is_in_no_percent_and_everybody_in_a_hundred() -> None:
    assert samples.below(0) == -(2**63)
    assert selected(100, 2**63 - 2**11)
    assert -(2**63) <= samples.bucket("", "x") < 2**63


def test_another_seed_draws_other_people() -> None:
    people = [str(number) for number in range(2_000)]
    drawn = [{p for p in people if selected(50, samples.bucket(seed, p))} for seed in ("", "b")]
    assert 900 < len(drawn[0]) < 1_100
    assert 400 < len(drawn[0] & drawn[1]) < 600
